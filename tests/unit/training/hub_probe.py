"""Loads each base model named on the command line as a training would; prints one JSON list of what came of it."""

import json
import sys
from typing import Any

from senti_tasks.config import TrainConfig
from senti_tasks.errors import BaseModelError
from senti_tasks.training.base_models import load_classifier, load_tokenizer
from senti_tasks.training.base_names import revision_of

answers: list[dict[str, Any]] = []
for name in sys.argv[1:]:
    try:
        revision = revision_of(name)
        tokenizer = load_tokenizer(name, ["房间很好"], revision)
        model = load_classifier(name, tokenizer, TrainConfig(dropout=0.25), revision)
    except BaseModelError as error:
        answers.append({"error": str(error)})
    else:
        answers.append(
            {
                "revision": revision,
                "tokens": tokenizer.tokenize("WiFi很好"),
                "max_length": tokenizer.model_max_length,
                "dropout": model.config.classifier_dropout,
                "labels": model.config.label2id,
                "embedding": float(model.state_dict()["bert.embeddings.word_embeddings.weight"].sum()),
            }
        )
sys.stdout.write(json.dumps(answers))
