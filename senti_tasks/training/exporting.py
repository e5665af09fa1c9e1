"""Writes a model as a folder that transformers alone can use: with its temperature inside."""

import shutil
from pathlib import Path
from typing import Any

import torch

from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.scoring.loading import load_classifier

_COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "README.md")
_CARD_NOTE = """
## Calibration

This folder was exported. The weights of its last linear layer are divided by the temperature {temperature:.6g}, so the
softmax of its logits is the calibrated probability. The model in the artifact store has the weights of the training.
"""


def export(source: Path, temperature: float, target: Path) -> None:
    """Writes the fp32 classifier of the folder ``source`` to ``target``, a folder that does not exist or is empty.

    The last linear layer is divided by ``temperature``, so that the softmax of the logits is the calibrated
    probability. The result is a ``save_pretrained`` folder with safetensors, the tokenizer and the model card.

    Raises ``ConfigError`` if ``target`` holds something, and ``ArtifactError`` if the model is of an architecture whose
    logits do not come from a linear layer.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} exists and is not an empty folder: name a folder that is to be made")
    model = load_classifier(source)
    ids = torch.arange(1, 1 + min(8, model.config.vocab_size - 1)).unsqueeze(0)  # (1, 8): some tokens
    with torch.inference_mode():
        expected = model(input_ids=ids).logits / temperature  # (1, n_labels)
        _divide(model, temperature)
        found = model(input_ids=ids).logits
    if not torch.allclose(found, expected, atol=1e-5):
        raise ArtifactError(
            f"{source} is a {type(model).__name__}, whose logits do not come from one linear layer: expected a "
            "classifier such as BertForSequenceClassification; take the calibrated probabilities from Model.predict"
        )
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    for name in _COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    with (target / "README.md").open("a", encoding="utf-8") as card:
        card.write(_CARD_NOTE.format(temperature=temperature))


def _divide(model: Any, temperature: float) -> None:
    """Divides the last linear layer with one output per label by ``temperature``; does nothing if there is none."""
    heads = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == model.config.num_labels
    ]
    for parameter in heads[-1].parameters() if heads else ():
        parameter.div_(temperature)
