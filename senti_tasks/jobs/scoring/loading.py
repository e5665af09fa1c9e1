"""Registered models to scorers: checked, loaded once per process, kept for the next call."""

from __future__ import annotations

import gc
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import Workplace

if TYPE_CHECKING:
    from pathlib import Path

    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def scorer_of(place: Workplace, version: str) -> Scorer:
    """The scorer of the form of ``version`` that serves, after checking every byte of it; kept for the next call."""
    from senti_tasks.errors import RegistryError
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import registry

    with database.reading(place.engine) as connection:
        form, trained = registry.serving_form(connection, version), registry.model(connection, version)
    if trained["normaliser_version"] != NORMALISER_VERSION:
        raise RegistryError(
            f"{version} was trained on texts cleaned by rule {trained['normaliser_version']}, and this code has rule "
            f"{NORMALISER_VERSION}: retrain, or run the code of {trained['code_version']}"
        )
    return load_form(place, form)


def load_form(place: Workplace, form: dict[str, Any]) -> Scorer:
    """The scorer of a registered form, after checking every byte of it; kept for the next call."""
    folder = place.store.fetch(form["artifact"], form["digest"])
    device = device_for(place, form["form"])
    return _load(folder, form["form"], device, form["temperature"], place.settings.work_folder)


def device_for(place: Workplace, form: str) -> str:
    """Where ``form`` runs: SENTI_DEVICE, but int8 on the CPU, also of a GPU worker, which builds and judges it."""
    device = place.settings.device
    if form != "int8" or device != "cuda":
        return device
    log.warning("int8 runs on the CPU of this GPU worker: SENTI_FORM=bf16 gives the next model a form for the GPU")
    return "cpu"


@lru_cache(maxsize=2)
def _load(folder: Path, form: str, device: str, temperature: float, work: Path) -> Scorer:
    from senti_tasks.scoring import loading

    scorer = loading.load(folder, form, device, temperature=temperature, probe_file=work / "token_budgets.json")
    # Pages of reviews make Python look for garbage all night long, and torch and a model are a quarter of a million
    # objects that are none.
    gc.collect()
    gc.freeze()
    return scorer
