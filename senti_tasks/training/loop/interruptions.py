"""What a training is interrupted for: saving a checkpoint, and hours in which no training runs."""

from dataclasses import dataclass
from datetime import UTC, datetime

from senti_tasks.errors import TrainingStoppedError
from senti_tasks.hours import Pause


@dataclass(frozen=True)
class Interruptions:
    """When a training saves a checkpoint, and when it ends before it is done."""

    save_every_s: float = 600.0
    """Seconds between two checkpoints within an epoch: what a killed training loses at most."""
    pause: Pause | None = None
    """The training saves a checkpoint and ends when this begins."""
    pause_reason: str = "SENTI_NO_TRAINING keeps these hours free"

    @property
    def in_pause(self) -> bool:
        """Whether the pause has begun."""
        return self.pause is not None and self.pause.start <= datetime.now(UTC)

    def refuse_to_begin_in_a_pause(self) -> None:
        """Raises ``TrainingStoppedError`` if the pause has begun."""
        if self.pause and self.in_pause:
            raise TrainingStoppedError(
                f"no training begins or continues before {shown(self.pause.end)}, because {self.pause_reason}: "
                "Airflow's retry comes then; by hand, repeat the command then, or change the setting",
                retry_at=self.pause.end,
            )


NO_PAUSE = Interruptions()
"""A checkpoint every ten minutes, and no pause."""


def shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzinfo}"
