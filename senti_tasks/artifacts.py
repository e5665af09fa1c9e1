"""The artifact store: one folder per corpus, model and so on. A stored folder is never changed.

A folder's digest covers every file in it. The warehouse records the digest when the folder is stored, and every load
checks it first: a half-written, damaged or tampered folder is refused. The store is a local folder or an fsspec URL
(S3, GCS). On a local disk a folder appears by an atomic rename. Elsewhere it counts as stored once the warehouse has a
row for it.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec import get_filesystem_class
from upath import UPath

from senti_tasks.errors import ArtifactError, StoreError

_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def folder_digest(folder: Path) -> str:
    """SHA-256 over the sorted (relative path, SHA-256 of the content) of every file below ``folder``; 64 hex digits."""
    return files_digest(folder, (path for path in folder.rglob("*") if path.is_file()))


def weights_digest(folder: Path, names: Sequence[str] = _MODEL_FILES) -> str:
    """The same over only the files ``names``, which determine a model's predictions: by default those of a BERT, its
    weights, configuration and tokenizer.

    So two trainings with the same weights have the same digest, whatever is in their model cards.

    Raises ``ArtifactError`` if one of these files is missing.
    """
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ArtifactError(
            f"{folder} has no {', '.join(missing)}: expected a model as save_pretrained writes it, with its tokenizer"
        )
    return files_digest(folder, (folder / name for name in names))


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """The same over the files ``paths`` below ``folder``, given in any order."""
    total = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _copy(folder: Path, target: Path) -> None:
    """As ``shutil.copytree``, whose error for a disk that is full does not say so."""
    for name, file in _files(folder):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)


def _files(folder: Any) -> Iterator[tuple[str, Any]]:
    """Every file below ``folder``, a ``Path`` or ``UPath``: its relative path, with slashes, and the file."""
    return ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


class ArtifactStore:
    """The folders below ``root``, a local folder or an fsspec URL. ``work`` is a local folder for copies of remote
    artifacts."""

    def __init__(self, root: str, work: Path) -> None:
        try:
            self.root = UPath(root)
            self._is_local = self.root.protocol in ("", "file", "local")
            if not self._is_local:
                get_filesystem_class(self.root.protocol)  # imports the library
        except (ValueError, ImportError) as error:
            raise ArtifactError(
                f"SENTI_ARTIFACTS={root} cannot be used ({error}): expected a folder, s3://BUCKET/PATH or "
                "gs://BUCKET/PATH, with the library s3fs or gcsfs installed here"
            ) from error
        self._fetched = work / "fetched"

    def put(self, folder: Path, kind: str, name: str) -> tuple[str, str]:
        """Stores a finished local ``folder`` as ``kind/name-DIGEST8``; returns this name and the whole digest.

        The name contains 8 digits of the digest. So two attempts that produced the same bytes share one folder, and two
        attempts that did not have a folder each. Raises ``ArtifactError`` if the folder exists and is damaged, and
        ``StoreError`` if the store cannot be written.
        """
        digest = folder_digest(folder)
        artifact = f"{kind}/{name}-{digest[:8]}"
        target = self.root / artifact
        try:
            if self._is_local:
                self._put_locally(folder, Path(target.path), digest)
            else:
                for path, file in _files(folder):
                    (target / path).write_bytes(file.read_bytes())
        except OSError as error:
            cause = error.strerror or type(error).__name__
            raise StoreError(
                f"{artifact} was not stored, because SENTI_ARTIFACTS={self.root} cannot be written ({cause}): make it "
                "writable and make room, then run this step again; nothing was registered, and no earlier work is lost"
            ) from error
        return artifact, digest

    def _put_locally(self, folder: Path, final: Path, digest: str) -> None:
        if final.exists() and folder_digest(final) == digest:
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        staging = final.with_name(f".{final.name}-{uuid.uuid4().hex[:8]}")
        try:
            _copy(folder, staging)
            try:
                staging.rename(final)  # fails and changes nothing if another attempt was first
            except OSError:
                if not final.exists():
                    raise
                if folder_digest(final) != digest:
                    raise ArtifactError(f"{final} exists and is damaged: remove it and run this step again") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def fetch(self, artifact: str, digest: str) -> Path:
        """The local folder that holds ``artifact``, after checking it against ``digest``; a remote one is copied here.

        Raises ``ArtifactError`` if the artifact is missing, or if a file in it was changed, added or lost.
        """
        source = self.root / artifact
        if not source.exists():
            raise ArtifactError(
                f"{source} is missing: expected the artifact registered with digest {digest[:12]}; "
                "restore it, or point SENTI_ARTIFACTS to where it lies"
            )
        folder = Path(source.path) if self._is_local else self._fetched / artifact
        found = folder_digest(folder)
        if found != digest and not self._is_local:  # there is no copy, or only a part of it
            self._download(source, folder)
            found = folder_digest(folder)
        if found != digest:
            raise ArtifactError(
                f"{source} was registered with digest {digest[:12]} and now has {found[:12]}: a file in it was "
                "changed, added or lost since; restore it from a backup, or retrain (nothing was loaded from it)"
            )
        return folder

    def names(self, kind: str) -> list[str]:
        """Every artifact of ``kind`` in the store or copied to this machine, sorted. It includes those without a row in
        the warehouse, and incomplete ones that a killed attempt has left."""
        folders = [folder for folder in (self.root / kind, self._fetched / kind) if folder.exists()]
        return sorted({f"{kind}/{path.name}" for folder in folders for path in folder.iterdir() if path.is_dir()})

    def size_and_age(self, artifact: str) -> tuple[int, datetime | None]:
        """The bytes of ``artifact``, and when a file in it was last changed; ``None`` if the store does not tell."""
        found = self.root / artifact
        statistics = [file.stat() for _, file in _files(found if found.exists() else self._fetched / artifact)]
        changed = max((float(file.st_mtime or 0) for file in statistics), default=0.0)
        size = sum(int(file.st_size) for file in statistics)
        return size, datetime.fromtimestamp(changed, UTC) if changed else None

    def remove_orphans(self) -> list[str]:
        """Deletes the copies on this machine of artifacts that are no longer in the store; returns their names."""
        if self._is_local:
            return []
        copies = [path for path in self._fetched.glob("*/*") if path.is_dir()]
        orphans = sorted(f"{path.parent.name}/{path.name}" for path in copies)
        orphans = [artifact for artifact in orphans if not self.holds(artifact)]
        for artifact in orphans:
            shutil.rmtree(self._fetched / artifact, ignore_errors=True)
        return orphans

    def fetch_unchecked(self, artifact: str) -> Path:
        """The local folder that holds ``artifact``, without a check: for artifacts without a row in the warehouse."""
        source = self.root / artifact
        if source.exists() and self._is_local:
            return Path(source.path)
        if source.exists():
            self._download(source, self._fetched / artifact)
        return self._fetched / artifact

    def holds(self, artifact: str) -> bool:
        """Whether the store has ``artifact``, complete or not."""
        return bool((self.root / artifact).exists())

    def remove(self, artifact: str) -> None:
        """Deletes ``artifact`` and its copy on this machine. Does nothing if there is neither."""
        shutil.rmtree(self._fetched / artifact, ignore_errors=True)
        target = self.root / artifact
        if target.exists():
            target.fs.rm(target.path, recursive=True)

    def _download(self, source: UPath, target: Path) -> None:
        """Makes ``target`` hold the files of ``source`` and no others. Each file appears at once and complete, also if
        another process downloads the same artifact at the same time."""
        wanted = dict(_files(source))
        for name, file in wanted.items():
            partial = self._fetched / f"{uuid.uuid4().hex}.partial"
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(file.read_bytes())
            partial.replace(target / name)
        for name, file in list(_files(target)):
            if name not in wanted:
                file.unlink(missing_ok=True)
