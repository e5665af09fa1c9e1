"""``senti``: one command per job. Tables for people, ``--json`` for machines, one line and exit code 1 when it
fails."""

import sys

import typer

from senti_tasks.cli import registry, scoring, training, upkeep
from senti_tasks.errors import SentiError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Labels Chinese product reviews in a SQL database. Where things are: SENTI_* variables (see .env.example).",
)
# In the order in which `senti --help` shows them.
app.command()(upkeep.migrate)
app.command("import")(upkeep.import_)
app.command()(upkeep.datasets)
app.command()(training.retrain)
app.command()(training.pretrain)
app.command()(scoring.score)
app.command()(scoring.predict)
app.command()(upkeep.status)
app.command()(upkeep.freeze)
app.command()(upkeep.unfreeze)
app.command()(upkeep.erase)
app.command()(upkeep.doctor)
app.add_typer(registry.app, name="models")


def main() -> None:
    """Runs the command line; an error made on purpose is one line on standard error, and exit code 1."""
    try:
        app()
    except SentiError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
