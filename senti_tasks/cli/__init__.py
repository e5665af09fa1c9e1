"""``senti``: one command per job. Results are tables for people, or JSON for programs. An error is one line on standard
error and exit code 1."""

import sys

import typer

from senti_tasks.cli import registry, scoring, training, upkeep
from senti_tasks.errors import SentiError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Label Chinese product reviews in a SQL database. Configured by SENTI_* variables (see .env.example).",
)
for command in (
    *(upkeep.migrate, upkeep.import_, upkeep.datasets, training.retrain, training.pretrain, scoring.score),
    *(scoring.predict, upkeep.status, upkeep.freeze, upkeep.unfreeze, upkeep.erase, upkeep.doctor),
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(registry.app, name="models")


def main() -> None:
    """Runs the command line. Prints a ``SentiError`` as one line on standard error, and exits with 1."""
    try:
        app()
    except SentiError as error:
        line = " ".join(str(error).split("\n"))  # the libraries that it quotes may write several
        sys.stderr.write(f"error: {line.strip()}\n")
        sys.exit(1)
