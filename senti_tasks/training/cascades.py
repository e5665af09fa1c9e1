"""Makes the folder of a cascade: the first stage learns the labels of the last one."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from senti_tasks.config import TFIDF, TfidfConfig, VariantConfig
from senti_tasks.corpus import text_profile
from senti_tasks.judging import calibration, thresholds
from senti_tasks.judging.thresholds import Certificate
from senti_tasks.labels import LabelSet
from senti_tasks.scoring import loading
from senti_tasks.scoring.cascades.layout import Cascade, Stage, Thresholds
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.training import tfidf

STUDENT, TEACHER = "student", "teacher"
"""The folders of the first and of the last stage."""


@dataclass(frozen=True, slots=True)
class Made:
    """The outcome of an attempt to make a cascade."""

    cascade: Cascade | None
    """What is in the folder now; ``None`` if no thresholds were certified."""
    passed: Certificate | None
    failed: Certificate | None
    """The candidate that ended the tests; ``None`` if all passed, or if there was none."""
    has_student: bool
    """Whether there was something to learn."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """The last stage, and the fp32 model that it comes from."""

    stage: Stage
    files: Path
    scorer: Scorer
    fp32: Scorer


def make(
    folder: Path,
    teacher: Teacher,
    learnt_from: Sequence[str],
    chosen_on: Sequence[str],
    compared: tuple[Sequence[str], Predictions, Predictions],
    validation: tuple[Sequence[str], np.ndarray],
    label_set: LabelSet,
    limits: VariantConfig,
) -> Made:
    """Makes a cascade of TF-IDF and ``teacher`` in the empty ``folder``, if thresholds can be certified.

    TF-IDF learns the teacher's labels of ``learnt_from``. The thresholds are chosen on ``chosen_on``, and certified on
    ``compared``: texts, and what the teacher and fp32 gave them. ``validation`` (texts and their labels) calibrates
    TF-IDF. The three sets of texts without labels have no text in common.
    """
    temperature = fit_student(learnt_from, teacher.scorer.predict(learnt_from), label_set, validation, folder)
    if temperature is None:
        return Made(None, None, None, has_student=False)
    student = loading.load(folder / STUDENT, temperature=temperature)
    rules = (limits.max_disagreement, limits.confidence)

    def staged(texts: Sequence[str], rest: Predictions, reference: Predictions) -> thresholds.Staged:
        found = student.predict(texts)
        return thresholds.Staged(found.labels, found.confidences.astype(np.float64), rest.labels, reference.labels)

    rest = teacher.scorer.predict(chosen_on)
    reference = rest if teacher.fp32 is teacher.scorer else teacher.fp32.predict(chosen_on)
    n_labels = len(label_set.names)
    tested = thresholds.candidates(staged(chosen_on, rest, reference), n_labels, len(compared[0]), *rules)
    passed, failed = thresholds.certify(tested, staged(*compared), *rules)
    if passed is None:
        return Made(None, None, failed, has_student=True)
    stage = student_stage(temperature, passed.thresholds)
    cascade = assemble(folder, stage, teacher.stage, teacher.files, passed.escalated_share)
    return Made(cascade, passed, failed, has_student=True)


def fit_student(
    texts: Sequence[str],
    taught: Predictions,
    label_set: LabelSet,
    validation: tuple[Sequence[str], np.ndarray],
    cascade: Path,
) -> float | None:
    """Fits TF-IDF to ``texts`` with the labels of ``taught``, and writes it into the folder ``cascade``.

    Returns the temperature with which it is calibrated for ``validation``, texts and their labels; or ``None``, and
    writes nothing, if there is only one label to learn.
    """
    labelled = np.flatnonzero(taught.labels >= 0)
    if len(np.unique(taught.labels[labelled])) < 2:
        return None
    known, labels = [texts[row] for row in labelled.tolist()], taught.labels[labelled].tolist()
    tfidf.fit(known, labels, TfidfConfig(), label_set, cascade / STUDENT)
    rows, truth = validation
    return calibration.fit_temperature(truth, loading.load(cascade / STUDENT).predict(rows).complete)


def assemble(cascade: Path, student: Stage, teacher: Stage, teacher_files: Path, escalated_share: float) -> Cascade:
    """Completes the folder ``cascade``, which has the student: the files of the teacher, and cascade.json."""
    shutil.copytree(teacher_files, cascade / TEACHER)
    if (profile := teacher_files / text_profile.FILE).is_file():
        shutil.copyfile(profile, cascade / text_profile.FILE)
    made = Cascade((student, teacher), escalated_share)
    made.save(cascade)
    return made


def student_stage(temperature: float, thresholds: Thresholds) -> Stage:
    return Stage(STUDENT, TFIDF, "fp32", temperature, thresholds)
