"""Registered models to scorers: checked, loaded once per process, kept for the next call."""

from __future__ import annotations

import gc
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senti_tasks.errors import RegistryError
from senti_tasks.jobs.context import JobContext
from senti_tasks.text import NORMALISER_VERSION
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import registry

if TYPE_CHECKING:
    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def scorer_of(context: JobContext, version: str) -> Scorer:
    """The scorer of the variant of ``version`` that serves, after checking every byte of it; kept for the next call."""
    with database.reading(context.engine) as connection:
        variant, trained = registry.serving_variant(connection, version), registry.model(connection, version)
    if trained["normaliser_version"] != NORMALISER_VERSION:
        raise RegistryError(
            f"{version} was trained on texts cleaned by rule {trained['normaliser_version']}, and this code has rule "
            f"{NORMALISER_VERSION}: retrain, or run the code of {trained['code_version']}"
        )
    return load_variant(context, variant)


def load_variant(context: JobContext, variant: dict[str, Any]) -> Scorer:
    """The scorer of a registered variant, after checking every byte of it; kept for the next call."""
    folder = context.store.fetch(variant["artifact"], variant["digest"])
    device = device_for(context, variant["variant"])
    return _load(folder, variant["variant"], device, variant["temperature"], context.settings.work_folder)


def device_for(context: JobContext, variant: str) -> str:
    """Where ``variant`` runs: SENTI_DEVICE, but int8 on the CPU, also of a GPU worker, which builds and judges it."""
    device = context.settings.device
    if variant != "int8" or device != "cuda":
        return device
    log.warning(
        "int8 runs on the CPU of this GPU worker: SENTI_VARIANT=bf16 gives the next model a variant for the GPU"
    )
    return "cpu"


@lru_cache(maxsize=2)
def _load(folder: Path, variant: str, device: str, temperature: float, work: Path) -> Scorer:
    from senti_tasks.scoring import loading

    scorer = loading.load(folder, variant, device, temperature=temperature, probe_file=work / "token_budgets.json")
    # torch and a model are 250,000 objects that never become garbage; scanning them cost 4 % of a run.
    gc.collect()
    gc.freeze()
    return scorer
