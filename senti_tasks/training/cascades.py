"""Makes the folder of a cascade: the first stage learns the labels of the last one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from senti_tasks.config import TFIDF, TfidfConfig
from senti_tasks.corpus import text_profile
from senti_tasks.judging import calibration
from senti_tasks.labels import LabelSet
from senti_tasks.scoring import loading
from senti_tasks.scoring.cascades.layout import Cascade, Stage, Thresholds
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.training import tfidf

STUDENT, TEACHER = "student", "teacher"
"""The folders of the first and of the last stage."""


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
