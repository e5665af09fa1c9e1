"""A cascade: the first model answers what it is sure of, the next one the rest; each text by itself."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from senti_tasks.errors import ArtifactError
from senti_tasks.judging.baseline import Baseline
from senti_tasks.scoring import loading
from senti_tasks.scoring.cascades.layout import Cascade, Stage
from senti_tasks.scoring.cascades.scorer import CascadeScorer
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.scorer import Scorer
from tests.made_up_reviews import made_up_reviews

REVIEWS = made_up_reviews(300)
TEXTS = [one.text for one in REVIEWS]
GIVEN: list[str | None] = [*TEXTS, None, " ", *TEXTS[:20]]


@pytest.fixture(scope="module")
def stages(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """TF-IDF that learnt from a tenth of the reviews, and a model with random weights, which often differs from it."""
    student = tmp_path_factory.mktemp("student")
    Baseline().fit(TEXTS[:30], [one.label or 0 for one in REVIEWS[:30]]).model.save(
        student, {0: "negative", 1: "positive"}
    )
    return student, model_folder


def cascade(
    folder: Path, stages: Sequence[Path], thresholds: Sequence[tuple[float | None, float | None]], share: float = 0.5
) -> Path:
    names = [*["student", "second"][: len(stages) - 1], "teacher"]
    found = [
        Stage(name, name, "fp32", 1.0, limits)
        for name, limits in zip(names, [*thresholds, None], strict=True)
    ]  # fmt: skip
    for name, stage in zip(names, stages, strict=True):
        shutil.copytree(stage, folder / name)
    Cascade(tuple(found), share).save(folder)
    return folder


@pytest.fixture(scope="module")
def limits(stages: tuple[Path, Path]) -> tuple[float, float]:
    """With which the student answers more of one label than of the other."""
    sure = loading.load(stages[0]).predict(TEXTS)
    low, high = (np.quantile(sure.confidences[sure.labels == label], share) for label, share in ((0, 0.3), (1, 0.6)))
    return float(low), float(high)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.allclose(one, other, atol=1e-5, equal_nan=True))


def test_the_first_stage_answers_what_it_is_sure_of_and_the_second_the_rest(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    student, teacher = (loading.load(folder, device="cpu").predict(GIVEN) for folder in stages)
    scorer = loading.load(cascade(tmp_path, stages, [limits]), "cascade", "cpu")
    found = scorer.predict(GIVEN)
    sure = student.confidences >= np.array(limits)[student.labels]
    sure[[300, 301]] = False
    assert 0.2 < sure.mean() < 0.8
    assert found.stages is not None
    assert found.stages.tolist() == [-1 if row in (300, 301) else int(not sure[row]) for row in range(len(GIVEN))]
    assert same(found.probabilities, np.where(sure[:, None], student.probabilities, teacher.probabilities))
    assert found.reasons == dict.fromkeys((300, 301), "the text is blank")
    assert found.checked is not None
    assert (found.checked == -1).all()


@pytest.mark.parametrize("rows", [1, 7, 64, 4096])
def test_an_answer_does_not_depend_on_the_chunk(
    rows: int, stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    folder = cascade(tmp_path, stages, [limits])
    whole = loading.load(folder, "cascade", "cpu").predict(GIVEN)
    scorer = loading.load(folder, "cascade", "cpu", ScoreConfig(remembered_texts=0))
    chunks = ((start, GIVEN[start : start + rows]) for start in range(0, len(GIVEN), rows))
    parts = list(scorer.stream(chunks))
    assert [start for start, _ in parts] == list(range(0, len(GIVEN), rows))
    found = Predictions.joined([part for _, part in parts], 2)
    assert same(found.probabilities, whole.probabilities)
    assert np.array_equal(found.stages, whole.stages)  # type: ignore[arg-type]
    assert found.reasons == whole.reasons


def test_chunks_are_larger_by_what_the_first_stage_answers(stages: tuple[Path, Path], tmp_path: Path) -> None:
    one = loading.load(
        cascade(tmp_path / "half", stages, [(0.8, 0.8)], 0.4), "cascade", "cpu", ScoreConfig(chunk_rows=10)
    )
    few = loading.load(
        cascade(tmp_path / "few", stages, [(0.8, 0.8)], 0.01), "cascade", "cpu", ScoreConfig(chunk_rows=10)
    )
    assert (one.chunk_rows, few.chunk_rows) == (20, 40)


def test_checked_texts_get_the_label_of_the_last_stage_beside_their_answer(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    """Also with three stages, where the second one is the student again, which answers more."""
    student, teacher = stages
    plain = loading.load(cascade(tmp_path / "two", stages, [limits]), "cascade", "cpu")
    three = loading.load(
        cascade(tmp_path / "three", (student, student, teacher), [limits, (limits[0] - 0.01, limits[1] - 0.01)]),
        "cascade",
        "cpu",
    )
    asked = np.arange(len(GIVEN)) % 3 == 0
    last = loading.load(teacher, device="cpu").predict(GIVEN).labels
    for scorer in (plain, three):
        assert isinstance(scorer, CascadeScorer)
        unchecked = scorer.predict(GIVEN)
        ((_, found),) = scorer.stream([("all", GIVEN)], check=lambda tag: asked if tag == "all" else ~asked)
        assert same(found.probabilities, unchecked.probabilities)
        assert found.stages is not None
        assert found.checked is not None
        assert np.array_equal(found.stages, unchecked.stages)  # type: ignore[arg-type]
        early = (found.stages >= 0) & (found.stages < found.stages.max())
        assert (found.checked[asked & early] == last[asked & early]).all()
        assert (found.checked[~(asked & early)] == -1).all()
        assert (found.checked[asked & early] != found.labels[asked & early]).sum() > 0
    stages_used = three.predict(GIVEN).stages
    assert stages_used is not None
    assert set(stages_used.tolist()) == {-1, 0, 1, 2}


def test_a_temperature_of_the_whole_changes_no_label(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    folder = cascade(tmp_path, stages, [limits])
    plain = loading.load(folder, "cascade", "cpu").predict(TEXTS)
    soft = loading.load(folder, "cascade", "cpu", temperature=2.0).predict(TEXTS)
    assert np.array_equal(plain.labels, soft.labels)
    assert np.array_equal(plain.stages, soft.stages)  # type: ignore[arg-type]
    odds = np.log(plain.probabilities[:, 1] / plain.probabilities[:, 0])
    assert np.allclose(np.log(soft.probabilities[:, 1] / soft.probabilities[:, 0]), odds / 2, atol=1e-3)


def test_an_error_of_the_source_comes_after_the_chunks_before_it(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    def source() -> Iterator[tuple[int, list[str]]]:
        yield 0, TEXTS[:50]
        yield 1, TEXTS[50:90]
        raise OSError("the database is gone")

    scorer = loading.load(cascade(tmp_path, stages, [limits]), "cascade", "cpu")
    seen = []
    with pytest.raises(OSError, match="the database is gone"):
        for tag, found in scorer.stream(source()):
            seen.append((tag, len(found.labels)))
    assert seen == [(0, 50), (1, 40)]


def test_a_stream_that_is_closed_early_leaves_nothing_running(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    scorer = loading.load(cascade(tmp_path, stages, [limits]), "cascade", "cpu")
    stream = scorer.stream((start, TEXTS[start : start + 10]) for start in range(0, 300, 10))
    assert next(stream)[0] == 0
    stream.close()
    assert len(scorer.predict(TEXTS).labels) == 300


def test_nothing_in_is_nothing_out(stages: tuple[Path, Path], tmp_path: Path) -> None:
    scorer: Scorer = loading.load(cascade(tmp_path, stages, [(None, None)]), "cascade", "cpu")
    assert scorer.predict([]).probabilities.shape == (0, 2)
    stages_of = scorer.predict(TEXTS[:5]).stages
    assert stages_of is not None
    assert stages_of.tolist() == [1] * 5, "without a threshold a stage answers nothing"


def test_a_folder_that_is_no_cascade_is_refused(
    stages: tuple[Path, Path], limits: tuple[float, float], tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="no cascade that can be loaded"):
        loading.load(stages[0], "cascade", "cpu")
    folder = cascade(tmp_path, stages, [limits])
    written = json.loads((folder / "cascade.json").read_text("utf-8"))
    for change in ({"folder": "../elsewhere"}, {"thresholds": None}, {"thresholds": [0.5, 0.5, 0.5]}):
        changed = {**written, "stages": [{**written["stages"][0], **change}, written["stages"][1]]}
        (folder / "cascade.json").write_text(json.dumps(changed), "utf-8")
        with pytest.raises(ArtifactError, match="no cascade that can be loaded"):
            loading.load(folder, "cascade", "cpu")
