"""What waits for a person, with the decisions that this user may make about it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from senti_tasks.reports.decisions import DECISIONS
from senti_tasks.reports.place import Place

Row = Mapping[str, Any]


def buttons(place: Place, may: Collection[str], *names: str, subject: object = None) -> list[dict[str, Any]]:
    """Those of the decisions ``names`` about ``subject`` that the user may make."""
    return [
        {
            "text": DECISIONS[name].button,
            "about": subject,
            "href": place.decision(name, subject),
            "is_serious": DECISIONS[name].is_serious,
        }
        for name in names
        if name in may
    ]


def _wait(title: str, *lines: str, links: Sequence[Row] = (), decide: Sequence[Row] = ()) -> dict[str, Any]:
    return {"title": title, "lines": lines, "links": links, "buttons": decide}


def _in_airflow(text: str, href: str) -> dict[str, Any]:
    return {"text": text, "href": href, "is_airflow": True}


def _report(kind: str, key: object, place: Place) -> dict[str, Any]:
    return {"text": f"report on {kind} {key}", "href": place.report(kind, key), "is_airflow": False}


def all_of(found: Row, place: Place, may: Collection[str]) -> list[dict[str, Any]]:
    """What waits for a person, the most urgent first."""
    cards = []
    for run in found["held"]:
        since = f"{run['held_at']:%Y-%m-%d %H:%M} UTC"
        report = _report("run", run["run_id"], place)
        cards.append(
            _wait(
                f"Run {run['run_id']} is held",
                f"Its {run['reviews']:,} reviews wait since {since}, because they differ unusually from those of "
                "earlier runs. No other run labels them; the next runs label all others.",
                f"The audit found: {run['held_because']}",
                links=[report],
                decide=buttons(place, may, "publish", "give-up", subject=run["run_id"]),
            )
        )
    if frozen := found["frozen"]:
        since = f"{frozen['frozen_at']:%Y-%m-%d %H:%M} UTC"
        cards.append(
            _wait(
                "Publishing is frozen",
                f"{frozen['frozen_by']} froze it on {since}: {frozen['frozen_reason']}",
                f"{found['audited']:,} scored runs wait for the end of the freeze.",
                decide=buttons(place, may, "unfreeze"),
            )
        )
    if found["champion"] is None and found["reviews"]:
        retrain = _in_airflow("retrain_sentiment", place.dag("retrain_sentiment"))
        line = "Without a model in service, no review gets a label. The DAG retrain_sentiment trains one."
        cards.append(_wait("No model is in service", line, links=[retrain]))
    if model := found["wants_approval"]:
        links = [_in_airflow("Required Actions", f"{place.airflow}/required_actions")]
        line = "It passed the gate, and SENTI_PROMOTION=approval asks a person. Answer in Airflow, within five days."
        cards.append(_wait(f"The model {model} wants approval", line, links=links))
    if found["alarm"]:
        report = _report("model", found["champion"], place)
        cards.append(
            _wait(
                "The champion has become less accurate",
                found["alarm"],
                "Look at the newest labels. It stays champion until a better model is promoted.",
                links=[report],
            )
        )
    if parts := found["drift"]:
        run = parts[0]["run_id"]
        cards.append(
            _wait(
                f"The reviews of run {run} are not as they were",
                *(f"{_part(row)}: {row['drift']}." for row in parts),
                "Labels may be less accurate there. Have some of these reviews labelled, and train again.",
                links=[_report("run", run, place)],
            )
        )
    return cards


def _part(row: Row) -> str:
    return "In all" if row["part"] == "run" else str(row["product"] or "(no product)")
