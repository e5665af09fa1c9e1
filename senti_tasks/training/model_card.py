"""The README.md in a model's folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.labels import LabelSet
from senti_tasks.markdown import table
from senti_tasks.training.base_models import SCRATCH, describe

_LIMITS = """\
- It judges a review as a whole: of a mixed one it gives the label that weighs more, not one label per aspect.
- It read reviews like those of its corpus. On other products, lengths or languages its figures do not hold.
- Irony and comparisons ("as good as nothing") are where models of this kind err most.
- Of reviews longer than {max_length} tokens, {cut}.
- The figures above chose the best epoch, so they flatter. Those of the test split are in `model_metrics`.
"""

_TEXTS = """\
The reviews of the warehouse, each text once, labels unread. Left out is what classifiers are judged on: the texts of
the validation and the test split, those that would belong to one of them if they were labelled, and near-duplicates
(four fifths of the character 3-grams in common) of the validation and test texts in the ledger.
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
    """The card as Markdown with YAML front matter. Holds no time and no path: the same training gives the same card.

    ``history`` has one row per epoch, with the same keys in each.
    """
    front: dict[str, Any] = {
        "language": "zh",
        "pipeline_tag": "text-classification",
        "library_name": "transformers",
        "tags": ["sentiment-analysis"],
    }
    if base_model in SCRATCH:
        front["license"] = "apache-2.0"
    else:
        front |= {"license": "other", "license_name": "that-of-the-base-model", "base_model": base_model}
    rows = corpus_summary.get("rows", {})
    sections = [
        "---\n" + yaml.safe_dump(front, allow_unicode=True, sort_keys=False) + "---",
        f"# Sentiment of reviews, from {base_model}",
        describe(base_model) + (f" Its revision is `{revision}`." if revision else ""),
        "Labels: " + ", ".join(f"{number} {name}" for number, name in label_set.names.items()) + ".",
        f"## Corpus\n\n`{corpus_name}`: " + ", ".join(f"{n} {split}" for split, n in rows.items()) + " reviews.",
        "## Validation\n\n" + table([{"figure": name, "value": value} for name, value in validation.items()]),
        "## Training\n\n" + table([{"setting": name, "value": value} for name, value in config.to_json().items()]),
        "## History\n\n" + table(history),
        "## Limits\n\n" + _LIMITS.format(max_length=config.max_length, cut=_cut(config)),
    ]
    return "\n\n".join(sections)


def encoder_card(
    base_model: str,
    revision: str | None,
    config: PretrainConfig,
    counts: Mapping[str, int],
    history: Sequence[Mapping[str, float]],
) -> str:
    """The card of an encoder that was pretrained on reviews without their labels; like ``model_card``.

    ``counts`` are those of its texts: read, and left out or kept, for which reason.
    """
    front: dict[str, Any] = {"language": "zh", "pipeline_tag": "fill-mask", "library_name": "transformers"}
    if base_model in SCRATCH:
        front["license"] = "apache-2.0"
    else:
        front |= {"license": "other", "license_name": "that-of-the-base-model", "base_model": base_model}
    sections = [
        "---\n" + yaml.safe_dump(front, allow_unicode=True, sort_keys=False) + "---",
        f"# Encoder of reviews, from {base_model}",
        "It predicts masked tokens of reviews and gives no labels: it is what a classifier is fine-tuned from.",
        describe(base_model) + (f" Its revision is `{revision}`." if revision else ""),
        f"## Texts\n\n{_TEXTS}\n" + table([{"texts": name, "number": number} for name, number in counts.items()]),
        "## Training\n\n" + table([{"setting": name, "value": value} for name, value in config.to_json().items()]),
        "## History\n\nOf the texts held out: mean loss of a masked token, and the share of them predicted.\n\n"
        + table(history),
    ]
    return "\n\n".join(sections) + "\n"


def _cut(config: TrainConfig) -> str:
    if config.head_tokens >= config.max_length - 2:
        return "the beginning is read"
    return f"the first {config.head_tokens} are read and then the last ones"
