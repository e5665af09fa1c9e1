"""Folders go into the store whole, and come out as they went in or not at all."""

import os
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from senti_tasks.artifacts import ArtifactStore, folder_digest, weights_digest
from senti_tasks.errors import ArtifactError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return made(tmp_path / "model")


def made(folder: Path, weights: bytes = b"\x00\x01\x02") -> Path:
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer" / "词表.txt").write_text("好\n差\n", "utf-8")
    return folder


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A store on a local disk, and one that fsspec reaches."""
    root = str(tmp_path / "artifacts") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return ArtifactStore(root, tmp_path / "work")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Digests


def test_the_same_files_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    assert folder_digest(made(tmp_path / "a")) == folder_digest(made(tmp_path / "b" / "c"))


def test_the_digest_of_weights_is_that_of_what_answers_and_of_nothing_else(model_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    (copy / "README.md").write_text("another card", "utf-8")
    before = weights_digest(copy)
    assert before == weights_digest(model_folder)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b" ")
        assert weights_digest(copy) != before
        (copy / name).unlink()
        with pytest.raises(ArtifactError, match=f"has no {name}: expected a model as save_pretrained writes it"):
            weights_digest(copy)
        (copy / name).write_bytes(content)


@pytest.mark.parametrize("change", ["content", "name", "more", "less"])
def test_every_change_changes_the_digest(change: str, model: Path) -> None:
    before = folder_digest(model)
    match change:
        case "content":
            (model / "model.safetensors").write_bytes(b"\x00\x01\x03")
        case "name":
            (model / "model.safetensors").rename(model / "model2.safetensors")
        case "more":
            (model / "pickle.bin").write_bytes(b"")
        case "less":
            (model / "tokenizer" / "词表.txt").unlink()
    assert folder_digest(model) != before


# Storing and fetching


def test_what_was_stored_is_fetched(store: ArtifactStore, model: Path) -> None:
    artifact, digest = store.put(model, "models", "2026-11-02")
    assert artifact == f"models/2026-11-02-{digest[:8]}"
    fetched = store.fetch(artifact, digest)
    assert contents(fetched) == contents(model)
    assert fetched != model


def test_storing_again_meets_what_is_there(store: ArtifactStore, model: Path) -> None:
    assert store.put(model, "models", "m") == store.put(model, "models", "m")
    assert len(list((store.root / "models").iterdir())) == 1


def test_other_files_get_a_folder_of_their_own(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    first, second = store.put(model, "models", "m"), store.put(made(tmp_path / "other", b"other"), "models", "m")
    assert first != second
    assert contents(store.fetch(*first)) != contents(store.fetch(*second))


def test_what_was_fetched_once_is_fetched_again(store: ArtifactStore, model: Path) -> None:
    stored = store.put(model, "models", "m")
    assert store.fetch(*stored) == store.fetch(*stored)


def test_two_attempts_meet_in_one_folder(tmp_path: Path, model: Path) -> None:
    store = ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "work")
    start = Barrier(4)

    def attempt(_worker: int) -> tuple[str, str]:
        start.wait()
        return store.put(model, "models", "m")

    with ThreadPoolExecutor(4) as pool:
        (stored,) = set(pool.map(attempt, range(4)))
    assert contents(store.fetch(*stored)) == contents(model)
    assert [path.name for path in (tmp_path / "artifacts" / "models").iterdir()] == [stored[0].removeprefix("models/")]


# What is not as it was stored


@pytest.mark.parametrize("damage", ["changed", "lost", "added"])
def test_a_damaged_folder_is_refused(damage: str, store: ArtifactStore, model: Path) -> None:
    artifact, digest = store.put(model, "models", "m")
    weights = store.root / artifact / "model.safetensors"
    match damage:
        case "changed":
            weights.write_bytes(b"evil")
        case "lost":
            weights.unlink()
        case "added":
            (store.root / artifact / "pickle.bin").write_bytes(b"evil")
    with pytest.raises(ArtifactError, match=f"was registered with digest {digest[:12]} and now has .* restore it"):
        store.fetch(artifact, digest)


def test_a_missing_folder_says_where_it_should_be(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactError, match=r"models/gone is missing: .* point SENTI_ARTIFACTS to where it lies"):
        store.fetch("models/gone", "0" * 64)


def test_a_damaged_folder_is_not_taken_for_the_one_being_stored(tmp_path: Path, model: Path) -> None:
    store = ArtifactStore(str(tmp_path / "artifacts"), tmp_path / "work")
    artifact, _ = store.put(model, "models", "m")
    (tmp_path / "artifacts" / artifact / "model.safetensors").write_bytes(b"evil")
    with pytest.raises(ArtifactError, match=r"exists and is damaged: remove it and run this step again"):
        store.put(model, "models", "m")
    assert os.listdir(tmp_path / "artifacts" / "models") == [artifact.removeprefix("models/")]  # noqa: PTH208


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.1a2b3c4d"])
def test_a_download_that_was_cut_short_is_mended_by_the_next_one(name: str, tmp_path: Path, model: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}", tmp_path / "work")
    stored = store.put(model, "models", "m")
    (store.fetch(*stored) / name).write_bytes(b"half")
    assert contents(store.fetch(*stored)) == contents(model)


def test_a_half_written_upload_is_completed_by_the_next_attempt(tmp_path: Path, model: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}", tmp_path / "work")
    artifact, digest = store.put(model, "models", "m")
    (store.root / artifact / "model.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"was registered with digest"):
        store.fetch(artifact, digest)
    store.put(model, "models", "m")
    assert contents(store.fetch(artifact, digest)) == contents(model)


# What nobody recorded


def test_everything_of_a_kind_is_listed_recorded_or_not(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    artifact, digest = store.put(model, "models", "m")
    store.fetch(artifact, digest)
    (store.root / "models" / ".m-half").mkdir(parents=True)
    (store.root / "models" / ".m-half" / "config.json").write_bytes(b"{}")
    (tmp_path / "work/fetched/models/gone").mkdir(parents=True)
    assert store.names("models") == ["models/.m-half", "models/gone", artifact]
    assert store.names("corpora") == []
    assert contents(store.fetch_unchecked(artifact)) == contents(model)
    assert contents(store.fetch_unchecked("models/.m-half")) == {"config.json": b"{}"}
    assert store.fetch_unchecked("models/gone") == tmp_path / "work/fetched/models/gone"
    for name in store.names("models"):
        store.remove(name)
    assert store.names("models") == []
