"""Data sets on the Hugging Face Hub as files of reviews: one split of one configuration, at one commit.

``datasets`` finds the files, as its card says, and writes their rows as Arrow into its cache; they are read from there
as a folder of ``save_to_disk`` is. Nothing in a repository is run as code, and no pickle is opened. Imports
``datasets``, so it is slow to import.
"""

import csv
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import datasets
from datasets.exceptions import DatasetNotFoundError, DatasetsError, FileNotFoundDatasetsError
from datasets.naming import camelcase_to_snakecase, filenames_for_dataset_split

from senti_tasks import hub
from senti_tasks.errors import HubError
from senti_tasks.intake import arrow, rows
from senti_tasks.intake.columns import Columns
from senti_tasks.intake.rows import Refusal, Row
from senti_tasks.labels import Spellings

log = logging.getLogger(__name__)

FORMATS = ("parquet", "csv", "json", "text", "arrow")
"""Formats that are read, as ``datasets`` calls them. Each holds plain values; of the others some once held pickles."""


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of one split, on this machine."""

    name: str
    config: str
    split: str
    commit: str
    shards: tuple[Path, ...]
    """Arrow streams, in the order of the rows."""

    @property
    def source(self) -> str:
        """What its rows are known by, whatever the commit: a row keeps its key when the data set goes on."""
        return f"hf:{self.name}/{self.config}/{self.split}"


def fetch(name: str, config: str | None = None, split: str = "train", revision: str | None = None) -> Split:
    """``split`` of the data set ``name`` (OWNER/NAME) at the commit that ``revision`` is at now (default: main).

    ``config`` may be left out where there is one, or the card names a default. Where the hub does not answer, it is
    that commit, or without ``revision`` the newest one, from the cache. Raises ``HubError``.
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


def read(split: Split, columns: Columns, timezone: ZoneInfo, spellings: Spellings) -> Iterator[Row | Refusal]:
    """Every row of ``split`` in its order, as ``intake.read`` gives those of a file; constant memory."""
    records = arrow.read_streams(split.shards, columns, split.source)
    needs_id = columns.id is not None
    return rows.build_all(records, split.source, needs_id=needs_id, timezone=timezone, spellings=spellings)


def _prepare(name: str, config: str | None, split: str, commit: str) -> Path:
    """The folder of the cache with every split of ``config`` as Arrow. Raises ``HubError``."""
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would ask S3, which is no mirror
    builder = _builder(name, config, commit)
    if getattr(builder.config, "sep", None) == "\t":  # a lone quote in a TSV swallows all rows up to the next one
        builder = _builder(name, builder.config.name, commit, quoting=csv.QUOTE_NONE)
    if split not in builder.config.data_files:
        raise _no_split(name, builder.config.name, split, builder.config.data_files)
    with _HubErrors(name, commit):
        builder.download_and_prepare()
    return Path(builder.cache_dir)


def _builder(name: str, config: str | None, commit: str, **options: int) -> datasets.DatasetBuilder:
    path = f"hf://datasets/{name}"  # never a folder of that name
    with _HubErrors(name, commit):
        try:
            builder = datasets.load_dataset_builder(path, config, revision=commit, **options)
        except ValueError as error:
            if "config" not in str(error).lower():
                raise
            known = ", ".join(datasets.get_dataset_config_names(path, revision=commit))
            found = f"no configuration {config!r}" if config else "several configurations"
            raise HubError(f"{name} has {found}: pass --config with one of {known}") from error
    if builder.hash != commit:  # where the hub falls silent half-way, datasets takes what it read last, of any commit
        raise hub.NoAnswerError(f"{hub.endpoint()} stopped answering")
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in FORMATS:
        raise HubError(f"{name} holds data of the kind {kind}: expected reviews as {', '.join(FORMATS)}")
    return builder


class _HubErrors:
    """Turns what ``datasets`` raises on a data set that cannot be had into one ``HubError``."""

    def __init__(self, name: str, commit: str) -> None:
        self.name = name
        self.commit = commit

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        where = f"{self.name} at {self.commit[:12]}"
        match error:
            case None | HubError():
                return
            case DatasetNotFoundError():
                gated = "is a gated dataset" in str(error)
                raise hub.UnknownToHubError(hub.gated(self.name) if gated else _first_line(error)) from error
            case FileNotFoundDatasetsError():
                raise HubError(f"{where} holds no file of reviews: expected {', '.join(FORMATS)}") from error
            case RuntimeError() if "scripts are no longer supported" in str(error):
                raise HubError(
                    f"{where} is a script, and nothing of a data set is run as code here: most have a copy as Parquet, "
                    "--revision refs/convert/parquet"
                ) from error
            case DatasetsError() | ValueError():
                raise HubError(f"{where} cannot be read: {_first_line(error.__cause__ or error)}") from error
            case OSError(filename=file) if file is not None:  # of this machine: what comes from the hub names no file
                raise HubError(
                    f"{where} cannot be kept in the cache ({_first_line(error)}): HF_HOME must name a folder with room "
                    "that this user may write"
                ) from error
            case Exception():
                raise hub.explained(error, self.name) from error


def _cached(name: str, config: str | None, revision: str | None, commit: str | None, silent: HubError) -> Path:
    """The folder of the cache with ``config`` at ``commit``, or without ``revision`` the one written last."""
    owner, _, title = name.partition("/")
    cache = Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(title)}"
    known = {
        folder: datasets.DatasetInfo.from_directory(str(folder)).config_name
        for folder in (path.parent for path in cache.glob("*/*/*/dataset_info.json"))
        if re.fullmatch(r"[0-9a-f]{40}", folder.name) and folder.name == (commit or folder.name)
    }
    found = [folder for folder, its_config in known.items() if its_config == (config or its_config)]
    if not found or (revision and not commit):
        raise HubError(
            f"data set {name!r} cannot be imported: {silent}, and what was asked for is not in the cache; "
            "set HF_ENDPOINT to a mirror that this machine reaches, or import a file"
        ) from silent
    if len({known[folder] for folder in found}) > 1:
        raise HubError(
            f"{silent}, and the cache holds several configurations of {name}: "
            f"pass --config with one of {', '.join(sorted(set(known.values())))}"
        ) from silent
    return max(found, key=lambda folder: (folder / "dataset_info.json").stat().st_mtime)


def _no_split(name: str, config: str, split: str, known: Iterable[object]) -> HubError:
    names = ", ".join(str(one) for one in known)
    return HubError(f"{name} has no split {split!r} in its configuration {config!r}: pass --split with one of {names}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
