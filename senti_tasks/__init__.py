"""Sentiment labels for Chinese product reviews in a SQL database.

For notebooks and scripts (docs/reference/python.md)::

    import senti_tasks

    model = senti_tasks.load_model()  # the model in service
    model.predict(["味道不错", None])  # a DataFrame

``import senti_tasks`` imports nothing else. Each function imports what it needs when it is first called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from senti_tasks.api.corpora import Corpus, load_corpus, snapshot_corpus
    from senti_tasks.api.models import Model, load_model
    from senti_tasks.api.training import Training, train
    from senti_tasks.api.views import read_query, read_sql, read_view, views
    from senti_tasks.errors import SentiError

__version__ = "0.1.0"

__all__ = [
    "Corpus",
    "Model",
    "SentiError",
    "Training",
    "__version__",
    "load_corpus",
    "load_model",
    "read_query",
    "read_sql",
    "read_view",
    "snapshot_corpus",
    "train",
    "views",
]

_MODULES = {
    "api.corpora": ("Corpus", "load_corpus", "snapshot_corpus"),
    "api.models": ("Model", "load_model"),
    "api.training": ("Training", "train"),
    "api.views": ("read_query", "read_sql", "read_view", "views"),
    "errors": ("SentiError",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
