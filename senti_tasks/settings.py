"""Where things are: the ``SENTI_*`` environment variables, or ``.env`` in the project's folder. ``SENTI_…_FILE`` names
a file that holds the value, as Docker and Kubernetes hand out secrets.

Only jobs and the command line read settings; they pass values to everything below. What changes results is in
``config``.
"""

import logging
import os
from collections.abc import Mapping
from datetime import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from senti_tasks import hours
from senti_tasks.errors import ConfigError
from senti_tasks.labels import LabelSet

log = logging.getLogger(__name__)

ReviewIdType = Literal["bigint", "text", "uuid"]
_LAST_PORT = 65_535


def _known_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is too long for a file
        raise ValueError(f"expected an IANA time zone such as Asia/Shanghai, found {name!r}") from None


def _time(name: str) -> str:
    try:
        return f"{time.fromisoformat(name):%H:%M}"
    except ValueError:
        raise ValueError(f"expected a time of the day such as 06:00, found {name!r}") from None


def _processes(number: str) -> str:
    if number != "auto" and not (number.isascii() and number.isdecimal() and 1 <= int(number) <= 64):
        raise ValueError(f"expected auto or a number of processes from 1 to 64, found {number!r}")
    return number


def _address(name: str) -> str:
    host, _, port = name.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError(f"expected PORT or HOST:PORT, such as 9108 or 0.0.0.0:9108, found {name!r}")
    return f"{host or '127.0.0.1'}:{port}"


def _hours(name: str) -> str:
    hours.parse(name)
    return name


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://HOST:PORT or https://HOST, the address of an OpenLineage server")
    return url


class Settings(BaseSettings):
    """The values of the ``SENTI_*`` variables. A field's variable is its name in capitals after the prefix."""

    model_config = SettingsConfigDict(env_prefix="SENTI_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(default_factory=Path.cwd)
    """The folder that relative paths start from, and that holds ``.env``. Default: the current directory."""
    database_url: str = "sqlite:///var/warehouse.db"
    """The warehouse: ``sqlite:///FILE``, with %3F for ? and %25 for % in its path, or
    ``postgresql://USER:PASSWORD@HOST/DATABASE``. A relative path starts from ``home``, ``~`` is the user's folder."""
    artifacts: str = "var/artifacts"
    """The artifact store, for corpora and models: a folder, ``s3://…`` or ``gs://…``."""
    work: Path = Path("var/work")
    """A folder on this machine for checkpoints of running trainings and for copies of remote artifacts."""
    reviews_table: str = "reviews"
    """The team's own table or view of reviews, also as ``schema.name``. For a name other than the default,
    ``senti migrate`` creates the view ``reviews`` over it."""
    review_id_type: ReviewIdType = "bigint"
    """Type of ``review_id``. The first ``senti migrate`` records it; it cannot be changed later."""
    labels: Annotated[str, AfterValidator(lambda names: str(LabelSet.listed(names)))] = "negative,positive"
    """Names of the labels, two or more, with commas between, from the most negative to the most positive. The first
    ``senti migrate`` records them; they cannot be changed later."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = "Asia/Shanghai"
    """IANA name of the time zone in which a review's day is computed. The first ``senti migrate`` records it;
    ``senti migrate --recount-days`` changes it."""
    base_model: str = "google-bert/bert-base-chinese"
    """What a training starts from: a hub name, a folder, ``scratch:tiny|small|medium``, an encoder that
    ``senti pretrain`` made (``pretrained:newest`` or ``pretrained:VERSION``), or ``tfidf``, which is no BERT."""
    device: str = "auto"
    """``auto`` (CUDA if there is a GPU), ``cpu`` or ``cuda``. CUDA_VISIBLE_DEVICES selects one of several GPUs."""
    cpu_after_tries: int | None = Field(None, ge=1, le=3)
    """After how many tries (1 to 3) a task that scores uses the CPU, if ``device`` is ``cuda`` and the GPU is gone.
    Default: never; the task fails after its last try."""
    training_processes: Annotated[str, AfterValidator(_processes)] = "1"
    """How many processes of this machine train one model together, 1 to 64, each on a GPU of its own (or all on the
    CPU). ``auto``: one for each GPU; on a CPU one, or for a small model one for each core."""
    variant: Literal["auto", "fp32", "bf16", "int8", "cascade"] = "auto"
    """The variant in which a newly trained model serves if that variant gives the same labels as fp32. ``auto``: the
    fastest such variant on ``device``, as measured. ``cascade``: a cheap model answers what it is sure of, and the
    fastest other variant the rest."""
    cascade_checks: int = Field(200, ge=0, le=100_000)
    """Reviews of a run, drawn at random from those that an earlier stage of a cascade answered, that the last stage
    labels too, as a check; 0 to 100,000."""
    checkpoint_minutes: int = Field(10, ge=1, le=1440)
    """Minutes between two checkpoints within an epoch of a training, 1 to 1440: what a kill loses at most."""
    no_training: Annotated[str, AfterValidator(_hours)] | None = None
    """Hours of the day in ``timezone`` that are kept free of trainings, such as ``01:30-05:00``. A training that they
    find running saves a checkpoint and ends, and its retry comes when they are over. Default: none."""
    promotion: Literal["gate", "approval"] = "gate"
    """Who promotes a model that passes the gate: the gate at once, or a person, whom Airflow waits for."""
    overlap_hours: int = Field(24, ge=0, le=87_600)
    """Hours before the watermark that a run searches for changes again, as transactions may commit late; 0 to 87,600
    (ten years)."""
    keep_models: int = Field(3, ge=1)
    """How many models that served keep their labels, 1 or more. The models in use and the one that a rollback would
    restore always keep them."""
    keep_artifacts_days: int | None = Field(None, ge=7, le=36_500)
    """Days after which weekly maintenance deletes corpora, models, encoders, texts, evaluations and checkpoints that
    nothing needs, 7 to 36,500. What a promotion or judgement of the last year rests on always stays. Default: never;
    maintenance then only says how much it could delete."""
    deleted_reviews: Literal["keep", "erase"] = "keep"
    """Whether maintenance keeps or erases the labels of reviews that are no longer in ``reviews``."""
    deleted_share: float = Field(0.1, ge=0, le=1)
    """Largest share of all reviews that maintenance may erase in one run, in [0, 1]. The limit protects the labels
    while the source is being reloaded and looks empty."""

    drift_psi: float = Field(0.25, gt=0)
    """Population stability index above which the scores of a run, or of a product in it, have drifted."""
    drift_unlike: float = Field(0.15, gt=0, le=1)
    """Share of texts unlike those of the training above which a run, or a product in it, has drifted, in (0, 1]."""
    drift_accuracy: float = Field(0.05, gt=0, le=1)
    """Loss of expected accuracy (the mean confidence) above which a run, or a product in it, has drifted, in (0, 1]."""

    alert_url: str | None = None
    """Addresses of Apprise, with commas between, which get a message when a person has to know something: a mailbox, a
    chat, a webhook. Default: none."""
    airflow_url: str = "http://localhost:8080"
    """Where people open Airflow; links in messages begin with it."""
    airflow_health_url: str | None = None
    """Airflow's address ``…/api/v2/monitor/health``, as this machine reaches it. ``senti watch`` then also notices a
    scheduler that has stopped."""
    broker_url: str | None = None
    """The Redis of Airflow's workers. ``senti watch`` then also notices a queue that no worker serves."""
    gpu_executor: Literal["EdgeExecutor"] | None = None
    """Airflow's executor for the tasks of the queue gpu. Default: the one of all tasks."""
    labels_by: Annotated[str, AfterValidator(_time)] = "06:00"
    """Time of the day in ``timezone`` by which the night's labels are to be published."""
    metrics_address: Annotated[str, AfterValidator(_address)] | None = None
    """``HOST:PORT`` at which ``senti watch`` answers Prometheus; ``PORT`` alone listens on this machine only. Default:
    nowhere."""
    lineage_url: Annotated[str, AfterValidator(_http)] | None = None
    """An OpenLineage server, ``http://HOST:PORT``. It is told which tables and models each job read and made. Default:
    none."""
    report_texts: bool = False
    """Whether reports on models show the texts of mistakes and suspect labels. Such a file holds texts of reviews,
    which ``senti erase`` does not find."""
    price_per_hour: float | None = Field(None, ge=0, allow_inf_nan=False)
    """What an hour of the machines that score costs, in any currency, 0 or more. Reports on runs then show what a
    million labels cost. Default: none."""

    @cached_property
    def label_set(self) -> LabelSet:
        return LabelSet.listed(self.labels)

    @cached_property
    def artifacts_root(self) -> str:
        return self.artifacts if "://" in self.artifacts else str(self._placed(Path(self.artifacts)))

    @cached_property
    def work_folder(self) -> Path:
        return self._placed(self.work)

    def _placed(self, path: Path) -> Path:
        """``path`` relative to ``home``; ``~`` is the user's folder, as a shell would have it."""
        return self.home / path.expanduser() if path.parts[:1] == ("~",) else self.home / path

    def base_model_named(self, name: str | None) -> str:
        """``name``, or else ``base_model``. If it is a folder, relative to ``home``, returns the folder's path.

        Raises ``ConfigError`` if the operating system refuses to look for such a folder, as for a name that is too
        long.
        """
        name = name or self.base_model
        folder = self.home / name
        try:
            return str(folder) if folder.is_dir() else name
        except OSError as error:
            raise ConfigError(
                f"the base model {name[:40]!r} … has {len(name):,} characters ({error.strerror}): expected the name of "
                "a model on the hub, a folder that this user may read, scratch:small or pretrained:newest"
            ) from error

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def report_to(self) -> str | None:
        """``mlflow`` if MLFLOW_TRACKING_URI is set and the library is installed: it also gets a training's metrics."""
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            return None
        if find_spec("mlflow") is None:
            log.warning("MLFLOW_TRACKING_URI is set, but nothing goes there: install mlflow-skinny here, or unset it")
            return None
        return "mlflow"


def load() -> Settings:
    """The present settings. Raises ``ConfigError`` with the variable, its value and what is allowed.

    It also puts the ``HF_*`` and ``MLFLOW_*`` variables of ``.env`` (hub mirror, token, tracking server) into the
    environment, where the clients of those services read them.
    """
    home = Path(os.environ.get("SENTI_HOME") or Path.cwd()).resolve()
    stated = dotenv_values(home / ".env")
    for name, value in stated.items():
        if name.startswith(("HF_", "MLFLOW_")) and value:
            os.environ.setdefault(name, value)
    from_files = _from_files({**stated, **os.environ})
    try:
        return Settings(_env_file=home / ".env", home=home, **from_files)  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors()[0]
        name = "SENTI_" + str(first["loc"][0]).upper()
        raise ConfigError(f"{name}={first.get('input')!r}: {first['msg'].removeprefix('Value error, ')}") from error


def _from_files(variables: Mapping[str, str | None]) -> dict[str, Any]:
    """The values of the fields for which ``SENTI_…_FILE`` names a file. An empty file counts as no value."""
    found = {}
    for field in Settings.model_fields:
        name = f"SENTI_{field.upper()}"
        file = variables.get(f"{name}_FILE")
        if not file:
            continue
        if variables.get(name):
            raise ConfigError(f"both {name} and {name}_FILE are set: keep one of them")
        try:
            value = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_FILE={file!r} cannot be read ({error})") from error
        if value:
            found[field] = value
    return found
