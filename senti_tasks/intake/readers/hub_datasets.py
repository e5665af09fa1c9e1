"""Reads reviews from data sets on the Hugging Face Hub: one split of one configuration, at one commit.

``datasets`` finds the files by the card of the data set and writes their rows into its cache as Arrow files, which are
read here. No code of a repository is run, and no pickle is opened. The module imports ``datasets``, which is slow.
"""

import csv
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets.exceptions import DatasetNotFoundError, DatasetsError, FileNotFoundDatasetsError
from datasets.naming import camelcase_to_snakecase, filenames_for_dataset_split

from senti_tasks import hub
from senti_tasks.errors import HubError
from senti_tasks.intake.readers import arrow
from senti_tasks.intake.tables import Table

log = logging.getLogger(__name__)

FORMATS = ("parquet", "csv", "json", "text", "arrow")
"""Supported formats, by their names in ``datasets``. They contain plain values. Some others have contained pickles."""


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a data set, on this machine."""

    name: str
    config: str
    split: str
    commit: str
    shards: tuple[Path, ...]
    """Arrow streams, in the order of the rows."""

    @property
    def source(self) -> str:
        """The source name of its rows. It is without the commit, so that rows keep their keys at a later commit."""
        return f"hf:{self.name}/{self.config}/{self.split}"


def fetch(name: str, config: str | None = None, split: str = "train", revision: str | None = None) -> Split:
    """Downloads ``split`` of the data set ``name`` (OWNER/NAME) at the current commit of ``revision`` (default: main).

    ``config`` may be ``None`` if there is only one or the card names a default. If the hub does not answer, the data of
    that commit, or without ``revision`` the newest data, come from the cache. Raises ``HubError``.
    """
    if name.count("/") != 1:
        raise HubError(
            f"hf:{name} names no data set: expected hf:OWNER/NAME; `senti datasets --search TEXT` finds some"
        )
    commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision or "") else None
    try:
        commit = hub.newest_commit(name, "dataset", revision)
        folder = _prepare(name, config, split, commit)
    except hub.UnknownToHubError as error:
        raise HubError(
            f"{error}; `senti datasets --search TEXT` finds data sets, and HF_TOKEN opens private and gated ones"
        ) from error
    except hub.NoAnswerError as error:
        folder = _cached(name, config, revision, commit, error)
        log.warning("%s: reading %s at %s from the cache", error, name, folder.name)
    info = datasets.DatasetInfo.from_directory(str(folder))
    if split not in info.splits:
        raise _no_split(name, info.config_name, split, info.splits)
    shards = filenames_for_dataset_split(
        str(folder), info.dataset_name, split, filetype_suffix="arrow", shard_lengths=info.splits[split].shard_lengths
    )
    return Split(name, info.config_name, split, folder.name, tuple(Path(shard) for shard in shards))


def open_split(split: Split) -> Table:
    """The rows of ``split`` in their order, in constant memory."""
    return arrow.open_streams(split.shards, split.source)


def _prepare(name: str, config: str | None, split: str, commit: str) -> Path:
    """The folder of the cache with all splits of ``config`` as Arrow files. Raises ``HubError``."""
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would send a request to S3, also with a mirror
    builder = _builder(name, config, commit)
    if getattr(builder.config, "sep", None) == "\t":  # by default, a lone quote in a TSV joins all rows up to the next
        builder = _builder(name, builder.config.name, commit, quoting=csv.QUOTE_NONE)
    if split not in builder.config.data_files:
        raise _no_split(name, builder.config.name, split, builder.config.data_files)
    with _hub_errors(name, commit):
        builder.download_and_prepare()
    return Path(builder.cache_dir)


def _builder(name: str, config: str | None, commit: str, **options: int) -> datasets.DatasetBuilder:
    path = f"hf://datasets/{name}"  # without the prefix, datasets would prefer a local folder of that name
    with _hub_errors(name, commit):
        try:
            builder = datasets.load_dataset_builder(path, config, revision=commit, **options)
        except ValueError as error:
            if "config" not in str(error).lower():
                raise
            known = ", ".join(datasets.get_dataset_config_names(path, revision=commit))
            found = f"no configuration {config!r}" if config else "several configurations"
            raise HubError(f"{name} has {found}: pass --config with one of {known}") from error
    if builder.hash != commit:  # if the hub stops answering, datasets uses its newest cached data, of any commit
        raise hub.NoAnswerError(f"{hub.endpoint()} stopped answering")
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in FORMATS:
        raise HubError(f"{name} holds data of the kind {kind}: expected reviews as {', '.join(FORMATS)}")
    return builder


@contextmanager
def _hub_errors(name: str, commit: str) -> Iterator[None]:
    """Raises ``HubError`` for the errors that ``datasets`` raises if it cannot load a data set."""
    where = f"{name} at {commit[:12]}"
    try:
        yield
    except HubError:
        raise
    except DatasetNotFoundError as error:
        gated = "is a gated dataset" in str(error)
        raise hub.UnknownToHubError(hub.gated(name) if gated else _first_line(error)) from error
    except FileNotFoundDatasetsError as error:
        raise HubError(f"{where} holds no file of reviews: expected {', '.join(FORMATS)}") from error
    except (DatasetsError, ValueError) as error:
        raise HubError(f"{where} cannot be read: {_first_line(error.__cause__ or error)}") from error
    except Exception as error:
        if isinstance(error, RuntimeError) and "scripts are no longer supported" in str(error):
            raise HubError(
                f"{where} is a script, and no code of a data set is run here: most data sets have a copy as Parquet, "
                "--revision refs/convert/parquet"
            ) from error
        if isinstance(error, OSError) and error.filename is not None:  # errors of the hub have no file name
            raise HubError(
                f"{where} cannot be kept in the cache ({_first_line(error)}): HF_HOME must name a folder with room "
                "that this user may write"
            ) from error
        raise hub.explained(error, name) from error


def _cached(name: str, config: str | None, revision: str | None, commit: str | None, no_answer: HubError) -> Path:
    """The folder of the cache with ``config`` at ``commit``; without ``revision``, the one that was written last."""
    owner, _, title = name.partition("/")
    cache = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(title)}"
    configs = {
        folder: datasets.DatasetInfo.from_directory(str(folder)).config_name
        for folder in (path.parent for path in cache.glob("*/*/*/dataset_info.json"))
        if re.fullmatch(r"[0-9a-f]{40}", folder.name) and folder.name == (commit or folder.name)
    }
    found = [folder for folder in configs if configs[folder] == (config or configs[folder])]
    if not found or (revision and not commit):
        raise HubError(
            f"data set {name!r} cannot be imported: {no_answer}, and what was asked for is not in the cache; "
            "set HF_ENDPOINT to a mirror that this machine reaches, or import a file"
        ) from no_answer
    if len(names := sorted({configs[folder] for folder in found})) > 1:
        raise HubError(
            f"{no_answer}, and the cache holds several configurations of {name}: "
            f"pass --config with one of {', '.join(names)}"
        ) from no_answer
    return max(found, key=lambda folder: (folder / "dataset_info.json").stat().st_mtime)


def _no_split(name: str, config: str, split: str, known: Iterable[object]) -> HubError:
    names = ", ".join(str(one) for one in known)
    return HubError(f"{name} has no split {split!r} in its configuration {config!r}: pass --split with one of {names}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
