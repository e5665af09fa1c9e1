"""A trained model that was not judged yet, with the corpus that it was trained on."""

from pathlib import Path

from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore
from senti_tasks.corpus import snapshot
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora
from tests.made_up_reviews import made_up_reviews, splits_in_turn
from tests.situations import MONDAY, add_model

VERSION = "2026-11-02-tiny"


def register(engine: Engine, home: Path, model: Path) -> tuple[list[snapshot.Example], dict[str, str]]:
    """Stores a corpus of made-up reviews, and the model in the folder ``model`` as ``VERSION``. Returns the examples of
    the corpus, and the split of each by its content hash."""
    examples, dropped = snapshot.clean(made_up_reviews(100))
    splits = splits_in_turn(examples)
    tokenizer = build_tokenizer([example.text for example in examples], 64)
    snapshot.write(examples, splits, dropped, MONDAY, "scratch:tiny", (tokenizer, tokenizer), home / "frozen")
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    written, corpus_digest = store.put(home / "frozen", "corpora", "demo")
    artifact, digest = store.put(model, "models", VERSION)
    row = {"corpus": "2026-11-01-demo", "idempotency_key": "demo", "due": MONDAY, "artifact": written}
    row |= {"digest": corpus_digest, "summary": {"rows": {}}, "created_at": MONDAY}
    with database.writing(engine) as connection:
        corpora.record_corpus(connection, row)
        add_model(connection, VERSION, artifact=artifact, checksum=digest, verdict=None)
    return examples, splits
