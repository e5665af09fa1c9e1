"""Where things are: the ``SENTI_*`` variables, or ``.env`` in the project's folder. What changes results: see config.

Read only in jobs and on the command line; everything below gets values.
"""

import logging
import os
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from senti_tasks.errors import ConfigError
from senti_tasks.labels import LabelSet

log = logging.getLogger(__name__)

ReviewIdType = Literal["bigint", "text", "uuid"]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SENTI_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(default_factory=Path.cwd)
    """The folder that relative paths below start from, and that holds ``.env``; default: where the command runs."""
    database_url: str = "sqlite:///var/warehouse.db"
    """The warehouse: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``."""
    artifacts: str = "var/artifacts"
    """Where corpora and models lie: a folder, ``s3://…`` or ``gs://…``."""
    work: Path = Path("var/work")
    """Scratch space of this machine: checkpoints of a training under way, models fetched from the artifact store."""
    reviews_table: str = "reviews"
    """The team's own table or view of reviews (``schema.name`` works); ``senti migrate`` puts the view over it."""
    review_id_type: ReviewIdType = "bigint"
    """Type of ``review_id``, fixed by the first ``senti migrate``."""
    labels: str = "negative,positive"
    """The names of the labels, from the most negative to the most positive, fixed by the first ``senti migrate``."""
    timezone: str = "Asia/Shanghai"
    """The time zone that decides which day a review belongs to."""
    base_model: str = "google-bert/bert-base-chinese"
    """What a training starts from: a hub name, a folder, ``scratch:tiny`` or ``scratch:small``; or what
    ``senti pretrain`` made: ``pretrained:newest`` or ``pretrained:VERSION``."""
    device: str = "auto"
    """``auto`` (CUDA if there is one), ``cpu`` or ``cuda``; CUDA_VISIBLE_DEVICES chooses among several."""
    variant: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """The variant of a newly trained model that is to serve, if it proves itself; ``auto``: the fastest on ``device``.
    """

    promotion: Literal["gate", "approval"] = "gate"
    """Who promotes a model that passes the gate: the gate itself, or a person, who is asked."""

    overlap_hours: int = Field(24, ge=0)
    """How far before the watermark a run looks again, for transactions that committed late."""
    keep_models: int = Field(3, ge=1)
    """How many models that served keep their labels; those in use and the one to roll back to always do."""
    deleted_reviews: Literal["keep", "erase"] = "keep"
    """What maintenance does with the labels of reviews that are no longer in ``reviews``."""
    deleted_share: float = Field(0.1, ge=0, le=1)
    """The largest share of all reviews that maintenance erases at once: a source being reloaded looks empty."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"expected an IANA time zone such as Asia/Shanghai, found {name!r}") from None
        return name

    @field_validator("labels")
    @classmethod
    def _label_set(cls, names: str) -> str:
        return str(LabelSet.listed(names))

    @cached_property
    def label_set(self) -> LabelSet:
        return LabelSet.listed(self.labels)

    @cached_property
    def url(self) -> str:
        """``database_url`` with a relative SQLite file placed under ``home``."""
        prefix = "sqlite:///"
        path = self.database_url.removeprefix(prefix)
        if self.database_url.startswith(prefix) and path and path != ":memory:":
            return prefix + str(self.home / path)
        return self.database_url

    @cached_property
    def artifacts_root(self) -> str:
        return self.artifacts if "://" in self.artifacts else str(self.home / self.artifacts)

    @cached_property
    def work_folder(self) -> Path:
        return self.home / self.work

    def base_model_named(self, name: str | None) -> str:
        """``name``, or the base model set; a folder is looked for below ``home`` as every other path is."""
        name = name or self.base_model
        folder = self.home / name
        return str(folder) if folder.is_dir() else name

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def report_to(self) -> str | None:
        """Who else gets a training's figures: ``mlflow`` if MLFLOW_TRACKING_URI is set and the library installed."""
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        if find_spec("mlflow") is None:
            log.warning("MLFLOW_TRACKING_URI is set, but nothing goes there: install mlflow-skinny here, or unset it")
            return None
        return "mlflow"


def load() -> Settings:
    """The settings in force. Raises ``ConfigError`` naming the variable, what it holds and what it may hold.

    The ``HF_*`` and ``MLFLOW_*`` variables of ``.env`` (a mirror of the hub, a token, a tracking server) go to the
    process, where those clients look.
    """
    home = Path(os.environ.get("SENTI_HOME") or Path.cwd()).resolve()
    for name, value in dotenv_values(home / ".env").items():
        if name.startswith(("HF_", "MLFLOW_")) and value:
            os.environ.setdefault(name, value)
    try:
        return Settings(_env_file=home / ".env", home=home)  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors()[0]
        name = "SENTI_" + str(first["loc"][0]).upper()
        raise ConfigError(f"{name}={first.get('input')!r}: {first['msg'].removeprefix('Value error, ')}") from error
