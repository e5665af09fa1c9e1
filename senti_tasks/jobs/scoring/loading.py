"""Loads registered models as scorers. Each is checked, loaded once per process and cached."""

from __future__ import annotations

import gc
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senti_tasks.errors import DeviceGoneError, RegistryError
from senti_tasks.jobs.context import JobContext
from senti_tasks.text import NORMALISER_VERSION
from senti_tasks.warehouse.models import registry

if TYPE_CHECKING:
    from senti_tasks.corpus.text_profile import TextProfile
    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def scorer_of(context: JobContext, version: str, attempt: int = 1) -> Scorer:
    """The scorer of the variant of ``version`` that serves, from the cache if it was loaded before.

    Its files are checked against their digest. ``attempt``: see ``device_for``. Raises ``RegistryError`` if the model
    was trained with another version of ``text.normalise`` than the present one, and ``DeviceGoneError``.
    """
    return load_variant(context, _serving(context, version), attempt)


def scorer_and_profile(
    context: JobContext, version: str, variant_name: str, attempt: int = 1
) -> tuple[Scorer, TextProfile | None]:
    """The scorer of this variant, and the profile of the training texts (``None`` if ``version`` was trained before
    there were any). The files are checked once for both: that reads all of them. Raises as ``scorer_of`` does."""
    variant = _serving(context, version, variant_name)
    folder = context.fetch(variant)
    return _scorer(context, folder, variant, attempt), _load_profile(folder)


def _serving(context: JobContext, version: str, name: str | None = None) -> dict[str, Any]:
    """The variant ``name`` of ``version`` (default: the one that serves), if this code may score with it."""
    with context.reading() as connection:
        variant = registry.variant_of(connection, version, name) if name is not None else None
        variant = variant or registry.serving_variant(connection, version)
        trained = registry.model(connection, version)
    if trained["normaliser_version"] != NORMALISER_VERSION:
        raise RegistryError(
            f"{version} was trained on texts of normaliser version {trained['normaliser_version']}, and this code has "
            f"version {NORMALISER_VERSION}: retrain, or run senti_tasks {trained['code_version']}"
        )
    return variant


def load_variant(context: JobContext, variant: dict[str, Any], attempt: int = 1) -> Scorer:
    """The scorer of a row of ``model_variants``, cached. Its files are checked against their digest."""
    return _scorer(context, context.fetch(variant), variant, attempt)


def _scorer(context: JobContext, folder: Path, variant: dict[str, Any], attempt: int) -> Scorer:
    device = device_for(context, variant["variant"], attempt)
    return _load(folder, variant["variant"], device, variant["temperature"], context.settings.work_folder)


def device_for(context: JobContext, variant: str, attempt: int = 1) -> str:
    """The device that ``variant`` runs on: SENTI_DEVICE, except that int8 always runs on the CPU. A GPU worker, too,
    builds and evaluates int8 on its CPU. If the GPU is gone, the CPU after as many attempts as the settings say."""
    device, tries = context.settings.device, context.settings.cpu_after_tries
    if device != "cuda":
        return device
    if variant != "int8":
        if tries is None or attempt <= tries or has_cuda():
            return device
        log.warning("attempt %d: the GPU is gone, so the CPU scores (SENTI_CPU_AFTER_TRIES=%d)", attempt, tries)
        return "cpu"
    log.warning(
        "int8 runs on the CPU of this GPU worker: set SENTI_VARIANT=bf16 to give the next model a variant for the GPU"
    )
    return "cpu"


def has_cuda() -> bool:
    """Whether torch finds a GPU here."""
    from senti_tasks.scoring import devices

    try:
        return devices.device_named("cuda").type == "cuda"
    except DeviceGoneError:
        return False


@lru_cache(maxsize=2)
def _load(folder: Path, variant: str, device: str, temperature: float, work: Path) -> Scorer:
    gc.disable()  # while torch is imported, which makes hundreds of thousands of objects: a tenth of that time
    try:
        from senti_tasks.scoring import loading

        scorer = loading.load(folder, variant, device, temperature=temperature, probe_file=work / "token_budgets.json")
    finally:
        gc.enable()
    # torch and the model are 250,000 objects that never become garbage. Scanning them took 4 % of a run's time.
    gc.collect()
    gc.freeze()
    return scorer


@lru_cache(maxsize=2)
def _load_profile(folder: Path) -> TextProfile | None:
    from senti_tasks.corpus.text_profile import TextProfile

    return TextProfile.load(folder)
