"""``senti report``: one HTML file about a model or a run, which any browser shows without a network."""

from pathlib import Path
from typing import Annotated

import typer

from senti_tasks import console
from senti_tasks.cli.calls import Json
from senti_tasks.jobs import reports

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Write a report as one HTML file: on a model, or on a run."
)

Output = Annotated[
    Path | None, typer.Option("--output", help="The file to write. Default: below var/reports in SENTI_HOME.")
]
Errors = Annotated[
    Path | None,
    typer.Option(
        "--errors", help="Also write the test rows with a wrong label to this CSV file, each model's answer beside it."
    ),
]
Version = Annotated[str | None, typer.Argument(help="The version of the model. Default: the newest.")]
RunId = Annotated[int | None, typer.Argument(metavar="N", help="The run. Default: the one published or held last.")]


@app.command("model")
def model_(version: Version = None, output: Output = None, errors: Errors = None, as_json: Json = False) -> None:
    """Write a report on a model. It has the verdict, the rules of the gate, curves, mistakes, training and lineage."""
    done = reports.model_report(version, output, errors)
    console.show(done, as_json, done["report"], *([done["errors"]] if done["errors"] else []))


@app.command("compare")
def compare_(
    first: Annotated[str, typer.Argument(help="The version of one model.")],
    second: Annotated[str, typer.Argument(help="The version of the other model.")],
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Write a comparison of two models. It is on the reviews that are in the test splits of both."""
    done = reports.compare_report(first, second, output)
    console.show(done, as_json, done["report"])


@app.command("run")
def run_(run_id: RunId = None, output: Output = None, as_json: Json = False) -> None:
    """Write a report on a scoring run. It says what it labelled, how it compares with earlier runs, and what waits."""
    done = reports.run_report(run_id, output)
    console.show(done, as_json, done["report"])
