"""``senti``: one command per job. Results are tables for people, or JSON for programs. An error is one line on standard
error and exit code 1 (docs/commands.md)."""

import sys
from typing import Annotated

import typer

from senti_tasks import __version__, console
from senti_tasks.cli import importing, registry, reporting, scoring, training, upkeep
from senti_tasks.errors import ConfigError, SentiError

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(upkeep.migrate, importing.import_, upkeep.datasets, training.retrain, training.pretrain, scoring.score),
    *(scoring.predict, upkeep.status, upkeep.freeze, upkeep.unfreeze, upkeep.erase, upkeep.artifacts, upkeep.doctor),
    *(upkeep.watch, upkeep.backup, upkeep.restore),
):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(registry.app, name="models")
app.add_typer(reporting.app, name="report")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        console.show(None, False, f"senti {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Label Chinese product reviews in a SQL database. Configured by SENTI_* variables (see .env.example)."""


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
