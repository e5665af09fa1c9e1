"""Where corpora and models lie: one folder each, named by what it holds, never changed once it is there.

A folder's digest covers every file in it. It is recorded in the warehouse when the folder is stored, and checked before
every load: a half-written, damaged or tampered folder is refused. The store is a local folder or anything fsspec
reaches (S3, GCS); on a local disk a folder appears by an atomic rename, elsewhere the row in the warehouse is the
commit.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from upath import UPath

from senti_tasks.errors import ArtifactError

_ANSWERING = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def folder_digest(folder: Path) -> str:
    """SHA-256 over the sorted (relative path, SHA-256 of the content) of every file below ``folder``; 64 hex digits."""
    return _digest(folder, (path for path in folder.rglob("*") if path.is_file()))


def weights_digest(folder: Path) -> str:
    """The same over the files alone that decide what the model in ``folder`` answers: weights, shape and tokenizer.

    Two trainings with the same weights have the same digest, whatever their cards say. Raises ``ArtifactError`` when
    one of the files is missing.
    """
    if missing := [name for name in _ANSWERING if not (folder / name).is_file()]:
        raise ArtifactError(
            f"{folder} has no {', '.join(missing)}: expected a model as save_pretrained writes it, with its tokenizer"
        )
    return _digest(folder, (folder / name for name in _ANSWERING))


def _digest(folder: Path, paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


class ArtifactStore:
    """The folders below ``root``. ``work`` is local scratch space, for copies of what lies on a remote store."""

    def __init__(self, root: str, work: Path) -> None:
        self.root = UPath(root)
        self.work = work

    @property
    def _is_local(self) -> bool:
        return self.root.protocol in ("", "file", "local")

    def put(self, folder: Path, kind: str, name: str) -> tuple[str, str]:
        """Stores a finished local ``folder`` as ``kind/name-DIGEST8``; returns that name and the whole digest.

        Two attempts that produced the same bytes meet in one folder, and two that did not get a folder each.
        """
        digest = folder_digest(folder)
        artifact = f"{kind}/{name}-{digest[:8]}"
        target = self.root / artifact
        if not self._is_local:
            for path in folder.rglob("*"):
                if path.is_file():
                    (target / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
            return artifact, digest
        final = Path(target.path)
        if not (final.exists() and folder_digest(final) == digest):
            final.parent.mkdir(parents=True, exist_ok=True)
            staging = final.with_name(f".{final.name}-{uuid.uuid4().hex[:8]}")
            shutil.copytree(folder, staging)
            try:
                staging.rename(final)  # fails, and changes nothing, if another attempt was first
            except OSError:
                shutil.rmtree(staging)
                if folder_digest(final) != digest:
                    raise ArtifactError(f"{final} exists and is damaged: remove it and run this step again") from None
        return artifact, digest

    def fetch(self, artifact: str, digest: str) -> Path:
        """The local folder that holds ``artifact``, after checking every byte of it against ``digest``.

        Raises ``ArtifactError`` when it is missing or not what was registered.
        """
        source = self.root / artifact
        if not source.exists():
            raise ArtifactError(
                f"{source} is missing: expected the artifact registered with digest {digest[:12]}; "
                "restore it, or point SENTI_ARTIFACTS to where it lies"
            )
        folder = Path(source.path) if self._is_local else self.work / "fetched" / artifact
        found = folder_digest(folder)
        if found != digest and not self._is_local:  # not fetched before, or only half of it
            self._download(source, folder)
            found = folder_digest(folder)
        if found != digest:
            raise ArtifactError(
                f"{source} was registered with digest {digest[:12]} and now has {found[:12]}: a file in it was "
                "changed, added or lost since; restore it from a backup, or retrain (nothing was loaded from it)"
            )
        return folder

    def names(self, kind: str) -> list[str]:
        """Every artifact of ``kind`` that lies here, or that this machine has a copy of, whether anybody recorded it or
        not; also what an attempt that was killed has left of one."""
        folders = (self.root / kind, self.work / "fetched" / kind)
        return sorted(
            {
                f"{kind}/{path.name}"
                for folder in folders
                if folder.exists()
                for path in folder.iterdir()
                if path.is_dir()
            }
        )

    def unchecked(self, artifact: str) -> Path:
        """The local folder that holds ``artifact`` as it lies here: for a look at what nobody recorded."""
        source = self.root / artifact
        copy = self.work / "fetched" / artifact
        if not source.exists():
            return copy
        if self._is_local:
            return Path(source.path)
        self._download(source, copy)
        return copy

    def holds(self, artifact: str) -> bool:
        """Whether ``artifact`` lies here, whole or not."""
        return bool((self.root / artifact).exists())

    def remove(self, artifact: str) -> None:
        """Deletes ``artifact`` and the copy of it on this machine; that of one that is gone already changes nothing."""
        shutil.rmtree(self.work / "fetched" / artifact, ignore_errors=True)
        target = self.root / artifact
        if not target.exists():
            return
        if self._is_local:
            shutil.rmtree(target.path)
        else:
            target.rmdir(recursive=True)

    def _download(self, source: UPath, target: Path) -> None:
        """Makes ``target`` hold the files of ``source`` and no others. Each appears whole, whoever else is at it."""
        names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
        for name in names:
            partial = self.work / "fetched" / f"{uuid.uuid4().hex}.partial"
            for file in (partial, target / name):
                file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes((source / name).read_bytes())
            partial.replace(target / name)
        for path in target.rglob("*"):
            if path.is_file() and path.relative_to(target).as_posix() not in names:
                path.unlink(missing_ok=True)
