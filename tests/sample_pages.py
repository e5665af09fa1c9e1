"""Values of the page in Airflow's UI as its job gathers them, with long and hostile names."""

from datetime import timedelta
from typing import Any

from senti_tasks.reports import decisions, sentiment
from senti_tasks.reports.place import Place
from tests.sample_reports import AT, ATTACK, drift_row

PLACE = Place("/airflow", "/airflow/sentiment")
STATES = ("open", "planned", "audited", "held", "published", "abandoned")


def a_series(number: int, **changes: Any) -> dict[str, Any]:
    opened = AT - timedelta(days=number)
    states = {f"{state}_runs": 0 for state in STATES}
    known = {
        "series": f"score_reviews/scheduled__{opened.isoformat()}",
        "scope": "new",
        "model_version": "2026-11-23-abcdef",
        "opened_at": opened,
        "published_at": opened + timedelta(seconds=60 + 37 * number),
        "runs": 1,
        "run_id": 100 - number,
        "planned": 20_000 + 1_731 * number,
        "labelled": 19_998 + 1_731 * number,
        "failed": 2,
        "shards": 12,
        "finished_shards": 12,
    }
    return {**known, **states, "published_runs": 1, **changes}


def some_series() -> list[dict[str, Any]]:
    under_way = {"published_at": None, "published_runs": 0, "planned_runs": 1, "labelled": 0, "finished_shards": 5}
    held = {"published_at": None, "published_runs": 0, "held_runs": 1, "labelled": 0}
    ranges = {"scope": "rescore", "runs": 412, "published_runs": 412, "labelled": 81_000_000, "planned": 81_000_123}
    typed = {"series": "senti score new/2026", "scope": "all"}
    return [
        a_series(1, **under_way),
        a_series(2, **held),
        *(a_series(number) for number in range(3, 22)),
        a_series(22, **ranges),
        a_series(23, **typed),
    ]


def a_card(version: str, verdict: str | None, accuracy: float | None) -> dict[str, Any]:
    beside = {"champion_accuracy": 0.9312, "baseline_accuracy": 0.9011}
    return {"model_version": version, "trained_at": AT, "accuracy": accuracy, "verdict": verdict, **beside}


def found(**changes: Any) -> dict[str, Any]:
    held = {"run_id": 98, "scope": "new", "model_version": "2026-11-23-abcdef", "held_at": AT, "reviews": 21_462}
    because = f"shares_are_as_usual: {{'figure': 'share of negative', 'found': 0.91, 'usual': '0.31 to 0.42'}} {ATTACK}"
    decided = {"at": AT, "kind": "overruling", "subject": "2026-11-23-abcdef", "actor": "小李", "reason": ATTACK}
    return {
        "reviews": 123_456_789,
        "reviews_are_exact": False,
        "labelled": 81_002_119,
        "pending": 100_000,
        "pending_is_cut": True,
        "failed": 212,
        "carried_over": 17,
        "champion": "2026-11-30-123456",
        "serving": "2026-11-23-abcdef",
        "serving_since": AT,
        "incoming": "2026-11-30-123456",
        "incoming_labelled": 37_000_000,
        "drift": [drift_row("product", ATTACK, run_id=99, drift="the scores are distributed otherwise (PSI 0.41)")],
        "previous": "2026-11-23-abcdef",
        "held": [{**held, "held_because": because}],
        "frozen": {"frozen_at": AT, "frozen_by": "小李", "frozen_reason": f"盘点 {ATTACK}"},
        "audited": 3,
        "series": some_series(),
        "cards": [
            a_card("2026-11-30-123456", "promote", 0.9412),
            a_card("2026-11-28-5" + "e" * 60, "refuse", 0.8),
            a_card("2026-11-25-777777", None, None),
            a_card("2026-11-23-abcdef", "promote", 0.9312),
        ],
        "failed_rules": {"2026-11-28-5" + "e" * 60: [f"accuracy is 2.0 points below the champion's {ATTACK}", "more"]},
        "decisions": [decided, {**decided, "kind": "freeze", "subject": None}],
        "alarm": "2026-11-23-abcdef has 88.1 % of 512 labels right that are new to it",
        "wants_approval": "2026-11-30-123456",
        **changes,
    }


def page_html(**changes: Any) -> str:
    return sentiment.html(
        found(**changes),
        place=PLACE,
        may=set(decisions.DECISIONS),
        written_at=AT,
        done=f"Run {ATTACK} is published.",
    )


def question_html() -> str:
    address = PLACE.decision("promote", "m/1")
    subject, by = f"m1 {ATTACK}", f"小李 {ATTACK}"
    return decisions.question("promote", subject, seen="m0", address=address, home=PLACE.home, written_at=AT, by=by)


def notice_html() -> str:
    lines = [f"Cannot reach the warehouse at postgresql+psycopg://senti:***@{'w' * 90}/senti {ATTACK}.", "Wait."]
    return decisions.notice("The warehouse does not answer", lines, written_at=AT, home=PLACE.home)
