"""Commands on the warehouse itself: migrate, status, freeze, erase, doctor and more."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import tables
from senti_tasks.cli.calls import Json, user_name
from senti_tasks.cli.dashboard import dashboard
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import imports
from senti_tasks.jobs.operations import backups, checkup, erasure, maintenance, upkeep, watching


def migrate(
    recount_days: Annotated[
        bool, typer.Option("--recount-days", help="After a change of SENTI_TIMEZONE: compute all days again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the warehouse to the newest schema; safe to repeat."""
    result = upkeep.migrate(recount_days)
    before, after = result["before"] or "none", result["after"]
    change = f"is at the newest revision, {after}" if before == after else f"went from revision {before} to {after}"
    lines = [f"The warehouse {change}, with {len(result['views'])} views."]
    if (found := result["recounted"]) is not None:
        lines.append(
            f"Days are those of {found['after']} now (before: {found['before']}). Another day: {found['labels']:,} "
            f"labels, {found['history']:,} replaced labels, {found['staged']:,} staged labels."
        )
    console.show(result, as_json, *lines)


def datasets(
    search: Annotated[str, typer.Option(help="Words to search for.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Number of data sets, at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Search data sets on the Hugging Face Hub. Import one with `senti import hf:OWNER/NAME`."""
    rows = imports.search_datasets(search, limit)
    shown = [
        {**row, "about": row["description"][:80] or ", ".join(row["tags"][:5]), "gated": row["gated"] or None}
        for row in rows
    ]
    names = ("downloads", "likes", "last_modified", "gated", "about")
    headings = {"id": "data set"} | {name: name.replace("_", " ") for name in names}
    console.show(rows, as_json, tables.table(shown, headings) if rows else f"the hub finds no data set for {search!r}")


def status(as_json: Json = False) -> None:
    """Show reviews, models in use, what waits, and the last runs."""
    found = upkeep.status()
    waiting = [
        *_service_lines(found),
        *_withdrawn_line(found["withdrawn"]),
        *_frozen_line(found["frozen"]),
        *map(_held_line, found["held"]),
    ]
    if console.open_console().is_terminal:
        console.show(found, as_json, dashboard(found, waiting))
        return
    shown = (
        "run_id",
        "scope",
        "model_version",
        "variant",
        "state",
        "planned",
        "labelled",
        "failed",
        "superseded",
        "published_at",
    )
    console.show(
        found,
        as_json,
        f"{found['reviews']:,} reviews, {found['annotated']:,} labelled by people, {found['pending']:,} pending"
        + (f", {sum(run['reviews'] for run in found['held']):,} in held runs" if found["held"] else ""),
        f"in service: {found['in_service'] or 'no model yet'}; champion: {found['champion'] or 'none yet'}",
        *waiting,
        tables.table(found["runs"], {name: name.replace("_", " ") for name in shown}),
    )


def watch(
    once: Annotated[bool, typer.Option("--once", help="Look once, print what was found, and end.")] = False,
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time between two looks.")] = 60,
    as_json: Json = False,
) -> None:
    """Tell people (SENTI_ALERT_URL) what no task can tell. Late labels, a queue without a worker, a full disk.

    It runs beside Airflow until it is stopped, as the service watch of docker-compose.yml does. With --once, it exits
    with 1 if something is not as it should be.
    """
    if not once:
        watching.watch(every, sign=SIGN)
        return
    found = [
        {"what": alert.kind.value, "happened": alert.happened, "to do": alert.todo} for alert in watching.look_once()
    ]
    console.show(found, as_json, tables.table(found, {name: name for name in found[0]}) if found else "all is well")
    raise typer.Exit(bool(found))


SIGN = Path(tempfile.gettempdir()) / "senti-watch"
"""A file that is touched after each look, for the health check of the service."""


def _service_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    if found["incoming"] is not None:
        lines.append(
            f"{found['incoming']} goes into service when it has labelled {found['missing']:,} more reviews: "
            "rescore_reviews does that, or `senti score --scope rescore`"
        )
    if found["carried_over"]:
        lines.append(
            f"{found['carried_over']:,} reviews show a label carried over from an earlier model: rescore_reviews, or "
            f"`senti score --scope reconcile`, replaces those that {found['in_service']} can label"
        )
    return lines


def _frozen_line(frozen: dict[str, Any] | None) -> list[str]:
    if frozen is None:
        return []
    since = f"{frozen['frozen_at']:%Y-%m-%d %H:%M} UTC"
    return [f"publishing is frozen since {since} by {frozen['frozen_by']}: {frozen['frozen_reason']}"]


def _withdrawn_line(withdrawn: dict[str, Any] | None) -> list[str]:
    if withdrawn is None:
        return []
    since, variant, instead = withdrawn["withdrawn_at"], withdrawn["variant"], withdrawn["instead"]
    line = f"its variant {variant} was withdrawn on {since:%Y-%m-%d}, and runs score with {instead}: "
    return [f"{line}{withdrawn['withdrawn_because']}; `senti retrain` builds a new one"]


def _held_line(held: dict[str, Any]) -> str:
    command = f"senti score --run {held['run_id']}"
    return (
        f"run {held['run_id']} (scope {held['scope']}, {held['model_version']}) is held since "
        f"{held['held_at']:%Y-%m-%d %H:%M} UTC with {held['reviews']:,} reviews: {held['held_because']}. "
        f"Publish it: `{command} --publish-anyway REASON`; give it up: `{command} --restart`"
    )


def freeze(reason: Annotated[str, typer.Option(help="The reason, for the record.")], as_json: Json = False) -> None:
    """Freeze publishing until `senti unfreeze`. Runs are still scored and audited, but not published."""
    found = upkeep.freeze(reason, user_name())
    console.show(found, as_json, *_frozen_line(found))


def unfreeze(as_json: Json = False) -> None:
    """End the freeze. To publish a waiting run, call `senti score --run N` or clear its task in Airflow."""
    found = upkeep.unfreeze(user_name())
    waiting = ", ".join(str(run) for run in found["waiting"]) or "none"
    was = "Publishing is possible again" if found["was_frozen"] else "Publishing was not frozen"
    console.show(found, as_json, f"{was}. Audited runs that wait: {waiting}.")


def erase(
    review_ids: Annotated[list[str], typer.Argument(help="Keys of the reviews.", metavar="REVIEW_ID...")],
    reason: Annotated[str, typer.Option(help="The reason, for the record.")] = "erasure on request",
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Also record ids of which nothing is stored, without asking.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase reviews for good, on record. From labels, history, staged rows, errors, annotations, the ledger of splits,
    corpora and text snapshots."""
    if not unknown and (strange := erasure.find_unknown(review_ids)):
        _ask_about_unknown(strange, len(review_ids))
    found = erasure.erase(review_ids, reason, user_name())
    removed = ", ".join(f"{rows:,} of {name}" for name, rows in found["removed"].items() if rows) or "nothing"
    further = {
        "text snapshots rewritten": found["texts"],
        "deleted artifacts without a row in the warehouse that held one of them": found["unrecorded"],
        "encoders and models trained on them, which keep what they learnt": [*found["encoders"], *found["models"]],
    }
    console.show(
        found,
        as_json,
        f"{found['erased']:,} reviews are erased, {found['erased_before']:,} were before. Removed: {removed}; "
        f"corpora rewritten: {', '.join(found['corpora']) or 'none'}.",
        *(f"{what}: {', '.join(names)}" for what, names in further.items() if names),
    )


def _ask_about_unknown(strange: list[str], total: int) -> None:
    """Asks whether ids of which nothing is stored are meant. Raises ``ConfigError`` if nobody can answer, or if not."""
    named = ", ".join(strange[:10]) + (", …" if len(strange) > 10 else "")
    found = f"nothing is stored of {len(strange):,} of {total:,} ids ({named})"
    meaning = "a review with such an id would never be imported or labelled"
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"{found}: nothing was erased. Correct them, or pass --unknown to record them: {meaning}")
    if not typer.confirm(f"{found}. Record them as erased all the same? Then {meaning}.", err=True):
        raise ConfigError("nothing was erased")


def artifacts(
    days: Annotated[
        int | None, typer.Option(min=7, help="Age in days; default: SENTI_KEEP_ARTIFACTS_DAYS, or else 90.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them, too. This cannot be undone.")] = False,
    as_json: Json = False,
) -> None:
    """List, or delete, the artifacts that nothing needs any more. They are older than some days.

    Models in use or lately in use stay, and what a promotion or judgement of the last year rests on, whatever --days.
    """
    found = maintenance.retire_artifacts(days, delete)
    shown = [
        {"artifact": row["artifact"], "megabytes": row["bytes"] / 1e6, "made": row["made_at"][:10]}
        for row in found["artifacts"]
    ]
    done = "were deleted" if delete else "can be deleted (--delete)"
    console.show(
        found,
        as_json,
        *([tables.table(shown, {name: name for name in ("artifact", "megabytes", "made")})] if shown else []),
        f"{len(shown):,} artifacts older than {found['days']:,} days, {found['bytes'] / 1e6:,.1f} MB, {done}.",
        *(f"checkpoints on this machine: {folder}" for folder in found["checkpoints"]),
    )


def doctor(as_json: Json = False) -> None:
    """Check whether everything is in place. Settings, database, artifact store, base model, device and Airflow."""
    rows = checkup.run_checks()
    shown = [{**row, "ok": {True: "ok", False: "MISSING", None: "-"}[row["ok"]]} for row in rows]
    console.show(rows, as_json, tables.table(shown, {"ok": "", "name": "what", "finding": "found"}))
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)


def backup(
    to: Annotated[str, typer.Argument(metavar="DIR|s3://…", help="A new folder, or an address of an object store.")],
    as_json: Json = False,
) -> None:
    """Back up the warehouse and its artifacts. They are consistent with each other, and the pipeline goes on."""
    found = backups.back_up(to)
    lost = [f"not in it: {reason}" for reason in found["missing"].values()]
    console.show(found, as_json, f"{to}: {_contents(found)}", *lost)


def restore(
    source: Annotated[str, typer.Argument(metavar="DIR|s3://…", help="What `senti backup` has written.")],
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty warehouse. After `senti migrate`; every file is checked first."""
    found = backups.restore(source)
    console.show(found, as_json, f"restored from {source} of {found['created_at'][:16]}: {_contents(found)}")


def _contents(manifest: dict[str, Any]) -> str:
    tables = manifest["warehouse"]["tables"]
    counts = (f"{tables.get(name, 0):,} {noun}" for name, noun in (("reviews", "reviews"), ("review_labels", "labels")))
    return f"{', '.join(counts)}, {tables['models']:,} models, {len(manifest['artifacts']):,} artifacts"
