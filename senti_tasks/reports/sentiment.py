"""The page in Airflow's UI: reviews, runs and models at a glance, what waits for a person, and buttons to decide it."""

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from markupsafe import Markup

from senti_tasks.reports import decisions, page, plots, waits
from senti_tasks.reports.place import DAGS, Place

Row = Mapping[str, Any]

RUNS_DRAWN = 20

# Airflow shows the page in an iframe that may not open windows. A link into Airflow is clicked in the outer window.
SCRIPT = """
document.addEventListener("click", event => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.top === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outer = parent.document.createElement("a");
  outer.href = link.href;
  parent.document.body.append(outer);
  outer.click();
  outer.remove();
});
"""
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()


def html(found: Row, *, place: Place, may: Collection[str], written_at: datetime, done: str | None = None) -> str:
    """The page. ``found`` is what ``jobs.page.figures`` returns; ``may`` has the names of the decisions that the user
    may make, which get buttons; ``done`` says what was decided a moment ago."""
    waiting = waits.all_of(found, place, may)
    promotes = "promote" in may
    return page.render(
        "sentiment",
        heading="Sentiment",
        written_at=written_at,
        policy=f"; script-src 'sha256-{_HASH}'; form-action 'self'",
        script=Markup("<script>{}</script>").format(Markup(SCRIPT)),  # noqa: S704  a constant of ours
        done=done,
        verdict=_verdict(found, len(waiting)),
        facts=_facts(found),
        waits=waiting,
        in_use=_in_use(found, place, may),
        is_frozen=found["frozen"] is not None,
        freezing=waits.buttons(place, may, "freeze"),
        runs=[_run(row, place) for row in found["series"]],
        plots=_plots(found["series"]),
        models=[_model(card, found, place, may) for card in found["cards"]],
        shows_promote=promotes and any(card["model_version"] != found["champion"] for card in found["cards"]),
        decisions=decisions.rows(found["decisions"]),
        dags=[{"name": dag, "href": place.dag(dag)} for dag in DAGS],
    )


def _verdict(found: Row, waiting: int) -> dict[str, str]:
    if waiting:
        things = "One thing waits" if waiting == 1 else f"{waiting} things wait"
        return {"state": "wait", "sentence": f"{things} for a person."}
    if not found["reviews"]:
        return {"state": "wait", "sentence": "There are no reviews yet. `senti import FILE` brings them in."}
    if under_way := [row for row in found["series"] if _state(row)[0].startswith("under way")]:
        return {"state": "good", "sentence": f"Nothing waits for a person. Run {under_way[0]['run_id']} is under way."}
    if found["pending"]:
        sentence = f"Nothing waits for a person. The next run labels {_at_most(found)} reviews."
        return {"state": "good", "sentence": sentence}
    return {"state": "good", "sentence": "Every review has its label, and nothing waits for a person."}


def _at_most(found: Row) -> str:
    more = " or more" if found["pending_is_cut"] else ""
    return f"{found['pending']:,}{more}"


def _facts(found: Row) -> list[tuple[str, Any]]:
    about = "" if found["reviews_are_exact"] else "about "
    facts = [
        ("reviews", f"{about}{found['reviews']:,}"),
        ("labelled", found["labelled"]),
        ("pending", _at_most(found)),
        ("held back", sum(row["reviews"] for row in found["held"])),
    ]
    if found["failed"]:
        facts.append(("could not be labelled", found["failed"]))
    if found["carried_over"]:
        facts.append(("with the label of the model before", found["carried_over"]))
    return facts


def _in_use(found: Row, place: Place, may: Collection[str]) -> list[dict[str, Any]]:
    cards = []
    if found["serving"]:
        since = found["serving_since"]
        sentence = "Analysts see its labels" + (f" since {since:%Y-%m-%d %H:%M} UTC." if since else ".")
        card = {"role": "In service", "version": found["serving"], "sentence": sentence, "share": None}
        cards.append({**card, "buttons": [] if found["incoming"] else _roll_back(found, place, may)})
    if found["incoming"]:
        done, wanted = found["incoming_labelled"], found["labelled"]
        share = min(100, int(100 * done / wanted)) if wanted else 0
        sentence = (
            f"It is promoted and serves when it has labelled what the model in service has: {done:,} of {wanted:,} "
            "labels so far. The DAG rescore_reviews does that."
        )
        card = {"role": "Incoming", "version": found["incoming"], "sentence": sentence, "share": share}
        cards.append({**card, "buttons": _roll_back(found, place, may)})
    return [{**card, "href": place.report("model", card["version"])} for card in cards]


def _roll_back(found: Row, place: Place, may: Collection[str]) -> list[dict[str, Any]]:
    return waits.buttons(place, may, "roll-back", subject=found["champion"]) if found["previous"] else []


SCOPES = {
    "new": "new reviews",
    "reconcile": "all without a label",
    "all": "every review again",
    "rescore": "re-scoring",
}


def _state(row: Row) -> tuple[str, str]:
    """The state of a series in words, and its mark."""
    if row["held_runs"]:
        return "held", "bad"
    if unfinished := row["open_runs"] + row["planned_runs"]:
        share = f" ({row['finished_shards']:,} of {row['shards']:,} shards)" if row["shards"] and unfinished else ""
        return f"under way{share}", "wait"
    if row["audited_runs"]:
        return "waits for publication", "wait"
    return ("given up", "wait") if row["abandoned_runs"] == row["runs"] else ("published", "good")


def _run(row: Row, place: Place) -> dict[str, Any]:
    state, mark = _state(row)
    return {
        **row,
        "scope": SCOPES.get(row["scope"], row["scope"]),
        "state": state,
        "mark": mark,
        "took": duration(_seconds(row)),
        "href": place.report("run", row["run_id"]),
        "airflow": place.dag_run(row["series"]),
    }


def _seconds(row: Row) -> float | None:
    if row["published_at"] is None:
        return None
    return max(float((row["published_at"] - row["opened_at"]).total_seconds()), 0.0)


def duration(seconds: float | None) -> str:
    """``seconds`` as people read them: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _plots(series: Sequence[Row]) -> list[Any]:
    """Volume and duration of the last published runs on new reviews, the oldest first: a re-scoring is far larger."""
    published = (row for row in series if row["scope"] == "new" and row["published_at"] is not None)
    drawn = [row for row in published if row["labelled"]][:RUNS_DRAWN][::-1]
    if not drawn:
        return []
    volumes = [(f"run {row['run_id']}: {row['labelled']:,} labels", float(row["labelled"])) for row in drawn]
    seconds = [_seconds(row) or 0.0 for row in drawn]
    units = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
    unit, size = next((one for one in units if max(seconds) >= 2 * one[1]), units[-1])
    times = [(f"run {row['run_id']}: {duration(one)}", one / size) for row, one in zip(drawn, seconds, strict=True)]
    x = "runs on new reviews, the newest at the right"
    return [
        plots.bars("Labels of each run", volumes, plots.axis_over("", [one for _, one in volumes], zero=True), x),
        plots.bars(
            f"From opening to publication, in {unit}",
            times,
            plots.axis_over("", [one for _, one in times], zero=True),
            x,
        ),
    ]


VERDICTS = {"promote": ("passed", "good"), "refuse": ("refused", "bad"), None: ("not judged yet", "wait")}


def _model(card: Row, found: Row, place: Place, may: Collection[str]) -> dict[str, Any]:
    version = card["model_version"]
    verdict, mark = VERDICTS[card["verdict"]]
    failed = found["failed_rules"].get(version, []) if card["verdict"] == "refuse" else []
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    roles = {found["serving"]: "in service", found["incoming"]: "incoming"}
    is_champion = version == found["champion"]
    return {
        **card,
        "version": version,
        "role": roles.get(version),
        "verdict": verdict,
        "mark": mark,
        "reason": f"{failed[0]}{more}" if failed else None,
        "href": place.report("model", version),
        "buttons": [] if is_champion else waits.buttons(place, may, "promote", subject=version),
    }
