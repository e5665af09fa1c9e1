"""Backs a warehouse up together with its artifacts, and restores both into an empty place."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from upath import UPath

from senti_tasks import __version__
from senti_tasks.artifacts import folder_digest
from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.warehouse import copies

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""Written last: a folder without it is no complete backup."""


def back_up(to: str) -> dict[str, Any]:
    """Writes the warehouse and all artifacts that it refers to, consistent with each other, to ``to``: a new folder, or
    an address that fsspec knows (``s3://…``).

    The warehouse is copied from one snapshot, while the pipeline goes on. An artifact is never changed once it is
    stored, and each is checked against its digest. Returns the manifest: created_at, version, warehouse
    (``copies.write``), artifacts (name to digest), missing (artifacts that are damaged or not there, and why) and files
    (path to SHA-256). Raises ``ConfigError`` if ``to`` is not empty.
    """
    context, target = load_context(), _place(to)
    if target.exists() and any(target.iterdir()):
        raise ConfigError(f"{to} is not empty: name a new folder, such as {to.rstrip('/')}/{now():%Y-%m-%d}")
    files: dict[str, str] = {}
    missing: dict[str, str] = {}
    with context.scratch() as scratch:
        (scratch / "warehouse").mkdir()
        warehouse = copies.write(context.engine, scratch / "warehouse")
        with context.reading() as connection:
            artifacts = dict(copies.stored_artifacts(connection))
        _copy(scratch, target, files)
        for number, (artifact, digest) in enumerate(sorted(artifacts.items()), start=1):
            log.info("artifact %d of %d: %s", number, len(artifacts), artifact)
            try:
                folder = context.store.fetch(artifact, digest)
            except ArtifactError as error:  # a backup of all the rest is better than none
                log.warning("not in the backup: %s", error)
                missing[artifact] = str(error)
                continue
            _copy(folder, target / "artifacts" / artifact, files, f"artifacts/{artifact}/")
    manifest = {
        "created_at": now().isoformat(),
        "version": __version__,
        "warehouse": warehouse,
        "artifacts": {artifact: digest for artifact, digest in artifacts.items() if artifact not in missing},
        "missing": missing,
        "files": files,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")
    return manifest


def restore(source: str) -> dict[str, Any]:
    """Restores the backup at ``source`` into an empty, migrated warehouse and its artifact store; returns its manifest.

    Every file is checked first. The warehouse is filled last and in one transaction, so a call that was killed can be
    repeated. Raises ``ArtifactError`` if a file is missing or was changed, and ``WarehouseError`` if the warehouse is
    not empty or not like that of the backup.
    """
    context, place = load_context(), _place(source)
    if not (place / MANIFEST).exists():
        raise ConfigError(f"{source} holds no complete backup: expected the file {MANIFEST}, which is written last")
    manifest: dict[str, Any] = json.loads((place / MANIFEST).read_text("utf-8"))
    copies.require_empty(context.engine, manifest["warehouse"])
    with context.scratch() as scratch:
        for path, digest in manifest["files"].items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if not (place / path).exists() or _write(place / path, file) != digest:
                raise ArtifactError(f"{place / path} is missing or was changed since the backup: use another one")
        for artifact, digest in manifest["artifacts"].items():
            _store(context, scratch / "artifacts" / artifact, artifact, digest)
        copies.read(context.engine, scratch / "warehouse", manifest["warehouse"])
    return manifest


def _place(name: str) -> UPath:
    try:
        return UPath(name)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{name} cannot be used ({error}): expected a folder, s3://… or gs://…") from error


def _copy(folder: Path, target: UPath, files: dict[str, str], prefix: str = "") -> None:
    """Copies all files of ``folder``, and records the digest of each under its path in the backup."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        files[prefix + name] = _write(path, target / name)


def _write(source: Any, target: Any) -> str:
    """Copies a file, and returns its SHA-256."""
    total = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(1 << 20):
            total.update(block)
            written.write(block)
    return total.hexdigest()


def _store(context: JobContext, folder: Path, artifact: str, digest: str) -> None:
    """Puts an artifact into the store under the name that it had."""
    if folder_digest(folder) != digest:
        raise ArtifactError(f"{artifact} in the backup is not the one with digest {digest[:12]}: use another backup")
    kind, _, name = artifact.partition("/")
    stored, _ = context.store.put(folder, kind, name.removesuffix(f"-{digest[:8]}"))
    if stored != artifact:
        raise ArtifactError(f"{artifact} would be stored as {stored}: it was made by another version")
