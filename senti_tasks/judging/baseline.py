"""The baseline that a fine-tuned BERT must beat: TF-IDF of character n-grams and logistic regression.

``--base-model tfidf`` trains the same classifier, so that it can serve, and so is the first stage of a cascade.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from senti_tasks.config import TfidfConfig
from senti_tasks.scoring.tfidf.model import TfidfModel
from senti_tasks.scoring.tfidf.ngrams import LONGEST


class Baseline:
    """TF-IDF of character 1- to 3-grams (sublinear, in two texts or more) and logistic regression."""

    def __init__(self, n_labels: int = 2, config: TfidfConfig | None = None) -> None:
        config = config or TfidfConfig()
        self._n_labels = n_labels
        self._vectoriser = TfidfVectorizer(
            analyzer="char",
            ngram_range=(1, LONGEST),
            sublinear_tf=True,
            min_df=config.min_texts,
            max_features=config.max_ngrams,
            dtype=np.float32,
        )
        self._classifier = LogisticRegression(C=config.inverse_regularisation, max_iter=config.max_iterations)

    def fit(self, texts: Sequence[str], labels: Sequence[int] | np.ndarray) -> Self:
        """Fits to ``texts`` and ``labels`` (len(texts),) of at least two kinds. The same input gives the same fit."""
        try:
            features = self._vectoriser.fit_transform(texts)
        except ValueError as error:
            if "no terms remain" not in str(error):
                raise
            features = self._vectoriser.set_params(min_df=1).fit_transform(texts)
        self._classifier.fit(features, np.asarray(labels))
        return self

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Class probabilities of ``texts``, in their order: (len(texts), n_labels), float32. Empty in, empty out."""
        probabilities = np.zeros((len(texts), self._n_labels), dtype=np.float32)
        if len(texts):
            found = self._classifier.predict_proba(self._vectoriser.transform(texts))
            probabilities[:, self._classifier.classes_] = found
        return probabilities

    @property
    def model(self) -> TfidfModel:
        """What was fitted, as plain data, for a model folder."""
        return TfidfModel(
            [str(ngram) for ngram in self._vectoriser.get_feature_names_out()],
            self._vectoriser.idf_.astype(np.float32),
            self._classifier.coef_.astype(np.float32),
            self._classifier.intercept_.astype(np.float32),
            [int(label) for label in self._classifier.classes_],
        )
