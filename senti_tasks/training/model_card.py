"""The model cards: README.md in the folder of a model or an encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from senti_tasks.config import TFIDF, PretrainConfig, TfidfConfig, TrainConfig
from senti_tasks.labels import LabelSet
from senti_tasks.markdown import table
from senti_tasks.training.base_names import SCRATCH, describe

_LIMITS = """\
- A review gets one label as a whole. For a mixed review that is the label that weighs more; aspects get no labels.
- The model was trained on reviews like those of its corpus. Its figures do not hold for other products, lengths or \
languages.
- Models of this kind err most on irony and comparisons ("as good as nothing").
- Of reviews longer than {max_length} tokens, {cut}.
- The best epoch was chosen by the figures above, so they are optimistic. `model_metrics` has those of the test split.
"""

_TFIDF = """\
`vocabulary.json` has the n-grams (1 to 3 characters, in small letters) and their inverse document frequencies.
`model.safetensors` has the weights and intercepts of the logistic regression. The frequency of an n-gram in a review
counts as 1 + its natural logarithm, is multiplied by its inverse document frequency, and each review is scaled to
norm 1. `TfidfVectorizer` and `LogisticRegression` of scikit-learn give the same probabilities.
"""

_TEXTS = """\
The reviews of the warehouse, each text once, without labels. Texts that classifiers are evaluated on are left out: the
validation and test texts of the ledger, texts that would get one of these splits if they were labelled, and
near-duplicates (four fifths of the character 3-grams in common) of the validation and test texts in the ledger.
"""


def model_card(
    base_model: str,
    revision: str | None,
    config: TrainConfig,
    corpus_name: str,
    corpus_summary: Mapping[str, Any],
    label_set: LabelSet,
    validation: Mapping[str, float],
    history: Sequence[Mapping[str, float]],
) -> str:
    """The card of a classifier: Markdown with YAML front matter.

    ``history`` has one row per epoch, all with the same keys. The card contains no time and no path, so the same
    training gives the same card.
    """
    rows = corpus_summary.get("rows", {})
    cut = f"the first {config.head_tokens} are read and then the last ones"
    if config.head_tokens >= config.max_length - 2:  # [CLS] and [SEP]
        cut = "the beginning is read"
    return "\n\n".join(
        [
            _front(base_model, pipeline_tag="text-classification", tags=["sentiment-analysis"]),
            f"# Sentiment of reviews, from {base_model}",
            _origin(base_model, revision),
            "Labels: " + ", ".join(f"{number} {name}" for number, name in label_set.names.items()) + ".",
            f"## Corpus\n\n`{corpus_name}`: " + ", ".join(f"{n} {split}" for split, n in rows.items()) + " reviews.",
            "## Validation\n\n" + _pairs("figure", "value", validation),
            "## Training\n\n" + _pairs("setting", "value", config.to_json()),
            "## History\n\n" + table(history),
            "## Limits\n\n" + _LIMITS.format(max_length=config.max_length, cut=cut),
        ]
    )


def tfidf_card(
    config: TfidfConfig,
    corpus_name: str,
    corpus_summary: Mapping[str, Any],
    label_set: LabelSet,
    validation: Mapping[str, float],
) -> str:
    """The card of a TF-IDF classifier, in the form of ``model_card``."""
    rows = corpus_summary.get("rows", {})
    front = {"language": "zh", "library_name": "senti", "pipeline_tag": "text-classification", "license": "apache-2.0"}
    return (
        "\n\n".join(
            [
                "---\n" + yaml.safe_dump(front, allow_unicode=True, sort_keys=False) + "---",
                "# Sentiment of reviews, by TF-IDF",
                describe(TFIDF),
                _TFIDF,
                "Labels: " + ", ".join(f"{number} {name}" for number, name in label_set.names.items()) + ".",
                f"## Corpus\n\n`{corpus_name}`: "
                + ", ".join(f"{n} {split}" for split, n in rows.items())
                + " reviews.",
                "## Validation\n\n" + _pairs("figure", "value", validation),
                "## Training\n\n" + _pairs("setting", "value", config.to_json()),
                "## Limits\n\n" + "\n".join(_LIMITS.splitlines()[:3]),
            ]
        )
        + "\n"
    )


def encoder_card(
    base_model: str,
    revision: str | None,
    config: PretrainConfig,
    counts: Mapping[str, int],
    history: Sequence[Mapping[str, float]],
) -> str:
    """The card of a pretrained encoder, in the form of ``model_card``.

    ``counts`` says how many texts were read, how many were left out for which reason, and how many were kept.
    """
    sections = [
        _front(base_model, pipeline_tag="fill-mask"),
        f"# Encoder of reviews, from {base_model}",
        "It predicts masked tokens of reviews and gives no labels. Classifiers are fine-tuned from it.",
        _origin(base_model, revision),
        f"## Texts\n\n{_TEXTS}\n" + _pairs("texts", "number", counts),
        "## Training\n\n" + _pairs("setting", "value", config.to_json()),
        "## History\n\nOn the held-out texts: mean loss of a masked token, and the share predicted correctly.\n\n"
        + table(history),
    ]
    return "\n\n".join(sections) + "\n"


def _front(base_model: str, **fields: Any) -> str:
    front = {"language": "zh", "library_name": "transformers", **fields}
    if base_model in SCRATCH:
        front["license"] = "apache-2.0"
    else:
        front |= {"license": "other", "license_name": "that-of-the-base-model", "base_model": base_model}
    return "---\n" + yaml.safe_dump(front, allow_unicode=True, sort_keys=False) + "---"


def _origin(base_model: str, revision: str | None) -> str:
    return describe(base_model) + (f" Its revision is `{revision}`." if revision else "")


def _pairs(key: str, value: str, rows: Mapping[str, Any]) -> str:
    return table([{key: name, value: found} for name, found in rows.items()])
