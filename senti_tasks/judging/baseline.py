"""The baseline that a fine-tuned BERT must beat: TF-IDF of character n-grams and logistic regression."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline


class Baseline:
    """TF-IDF of character 1- to 3-grams (sublinear, in two texts or more) and logistic regression."""

    def __init__(self, n_labels: int = 2) -> None:
        self._n_labels = n_labels
        self._pipeline: Pipeline = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2, dtype=np.float32),
            LogisticRegression(C=10, max_iter=1000),
        )

    def fit(self, texts: Sequence[str], labels: Sequence[int] | np.ndarray) -> Self:
        """Fits to ``texts`` and ``labels`` (len(texts),) of at least two kinds. The same input gives the same fit."""
        try:
            self._pipeline.fit(texts, np.asarray(labels))
        except ValueError as error:
            if "no terms remain" not in str(error):
                raise
            self._pipeline.set_params(tfidfvectorizer__min_df=1).fit(texts, np.asarray(labels))
        return self

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Class probabilities of ``texts``, in their order: (len(texts), n_labels), float32. Empty in, empty out."""
        probabilities = np.zeros((len(texts), self._n_labels), dtype=np.float32)
        if len(texts):
            probabilities[:, self._pipeline.classes_] = self._pipeline.predict_proba(texts)
        return probabilities
