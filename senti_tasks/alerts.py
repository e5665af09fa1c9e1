"""Alerts: what a person is told, and its delivery to the addresses of SENTI_ALERT_URL through Apprise."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

log = logging.getLogger(__name__)

RUNBOOK = "docs/runbook.md"


class Kind(Enum):
    """The kinds of events. Each value is the heading of its part of docs/runbook.md."""

    TASK_FAILED = "task failed"
    HELD_RUN = "held run"
    REFUSED = "model refused"
    APPROVAL = "approval wanted"
    PROMOTED = "model promoted"
    ROLLED_BACK = "model rolled back"
    CHAMPION = "champion alarm"
    DRIFT = "drift"
    CASCADE = "cascade withdrawn"
    LATE = "labels late"
    PENDING = "reviews waiting"
    QUEUE = "queue without worker"
    BROKER = "broker unreachable"
    AIRFLOW = "Airflow unhealthy"
    DATABASE = "warehouse unreachable"
    DISK = "disk filling"


@dataclass(frozen=True)
class Alert:
    """A message about one event. It holds no text of a review."""

    kind: Kind
    event: str
    """Identifies the event: of all alerts with the same event, people get one."""
    happened: str
    """What happened, in one sentence or two."""
    means: str
    """What that means for the labels."""
    todo: str
    """What to do, with the command to type."""
    link: str | None = None
    is_good: bool = False

    @property
    def title(self) -> str:
        return f"Sentiment: {self.kind.value}"

    @property
    def body(self) -> str:
        lines = [self.happened, "", f"What it means: {self.means}", f"What to do: {self.todo}"]
        if self.link:
            lines.append(self.link)
        heading = self.kind.value.lower().replace(" ", "-")
        return "\n".join([*lines, f"More: {RUNBOOK}#{heading}"])


def addresses(listed: str | None) -> list[str]:
    """The single addresses of SENTI_ALERT_URL. A comma inside an address is written %2C."""
    return [address.strip() for address in (listed or "").split(",") if address.strip()]


def deliver(alert: Alert, urls: Sequence[str]) -> bool:
    """Sends ``alert`` to each of ``urls``; whether at least one took it. Raises nothing: an alert must not fail a run.

    The log names a broken address by its number, because addresses hold passwords.
    """
    delivered = False
    for number, url in enumerate(urls, start=1):
        try:
            import apprise  # here, because nearly no task sends anything

            sender = apprise.Apprise()
            kind = apprise.NotifyType.SUCCESS if alert.is_good else apprise.NotifyType.WARNING
            known = sender.add(url)
            sent = known and sender.notify(title=alert.title, body=alert.body, notify_type=kind)
        except Exception as error:  # whatever a service's client raises
            known, sent = True, False
            log.warning("address %d of SENTI_ALERT_URL: %s", number, type(error).__name__)
        if not known:
            log.warning("address %d of SENTI_ALERT_URL is none that Apprise knows (github.com/caronc/apprise)", number)
        elif not sent:
            log.warning("address %d of SENTI_ALERT_URL did not take the alert %r", number, alert.title)
        delivered = delivered or bool(sent)
    return delivered
