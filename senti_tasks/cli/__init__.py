"""``senti``: one command per job. Results are tables for people, or JSON for programs. An error is one line on standard
error and exit code 1."""

import sys

import typer

from senti_tasks import console
from senti_tasks.cli import importing, registry, reporting, scoring, training, upkeep
from senti_tasks.errors import ConfigError, SentiError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Label Chinese product reviews in a SQL database. Configured by SENTI_* variables (see .env.example).",
)
for command in (
    *(upkeep.migrate, importing.import_, upkeep.datasets, training.retrain, training.pretrain, scoring.score),
    *(scoring.predict, upkeep.status, upkeep.freeze, upkeep.unfreeze, upkeep.erase, upkeep.artifacts, upkeep.doctor),
    *(upkeep.watch, upkeep.backup, upkeep.restore),
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(registry.app, name="models")
app.add_typer(reporting.app, name="report")


def _check_encoding(arguments: list[str]) -> None:
    """Raises ``ConfigError`` if an argument holds bytes that are not in the terminal's encoding: no database takes
    them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"the argument {argument!r} is not UTF-8: type it again in a UTF-8 terminal, or rename the file"
            ) from None


def main() -> None:
    """Runs the command line. Prints a ``SentiError`` as one line on standard error, and exits with 1."""
    console.prepare()
    try:
        _check_encoding(sys.argv[1:])
        app()
    except SentiError as error:
        line = " ".join(str(error).split("\n"))  # the libraries that it quotes may write several
        sys.stderr.write(f"error: {line.strip()}\n")
        sys.exit(1)
    finally:
        console.finish()
