"""The pages on commands and on errors."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from local.documentation.sources import cell, markdown
from senti_tasks import cli, errors

_HEAD = """\
# Commands

`senti` is the same as `python -m senti_tasks`. Run it in the project's folder, or set `SENTI_HOME` to that folder.
Results go to standard output, progress goes to standard error. `--json` prints one JSON document instead of tables.

Exit codes, completion and what is printed where: [the command line](../commands.md).

"""
_KINDS: dict[Any, str] = {int: "INTEGER", float: "NUMBER", Path: "PATH"}


def every_command() -> Iterator[tuple[str, Any]]:
    """The name of each command, such as ``senti models list``, and the command."""
    yield from _below(typer.main.get_command(cli.app), "senti")


def _below(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def page() -> str:
    return _HEAD + "".join(_command(name, command) for name, command in every_command())


def _command(name: str, command: Any) -> str:
    """The section of a command."""
    context = typer.Context(command, info_name=name)
    summary = inspect.cleandoc(command.help or "")
    parameters = [parameter for parameter in command.get_params(context) if parameter.name != "help"]
    arguments = [_spelling(one) for one in parameters if one.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *arguments])
    rows = "".join(f"| `{cell(_spelling(one))}` | {cell(_meaning(one))} |\n" for one in parameters)
    table = f"| argument or option | meaning |\n|---|---|\n{rows}\n" if rows else ""
    return f"## {name}\n\n{summary}\n\n```text\n{usage}\n```\n\n{table}"


def _spelling(parameter: Any) -> str:
    """``VERSION`` for an argument, ``--limit INTEGER`` for an option, ``--json`` for a flag."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        name = name if parameter.required or name.startswith("[") else f"[{name}]"
        return name if parameter.nargs == 1 or name.endswith("...") else f"{name}..."
    spelled = ", ".join([*parameter.opts, *parameter.secondary_opts])
    kind = _KINDS.get(parameter.type_descriptor.annotation, "TEXT")
    return spelled if parameter.is_flag else f"{spelled} {parameter.metavar or kind}"


def _meaning(parameter: Any) -> str:
    default = parameter.default
    shown = default is not None and default is not False and default != [] and not callable(default)
    return " ".join([parameter.help or "", *([f"Default: {default}."] if shown and default != "" else [])]).strip()


def errors_page() -> str:
    """Every error, whether a later try can succeed without anybody doing something, and its meaning."""
    parts = [
        "# Errors\n\n",
        "Every message says what was expected, what was found and what to do next. All errors descend from ",
        "`senti_tasks.SentiError`. Airflow retries a task only after an error for which a later try may succeed.\n\n",
        "| error | a later try may succeed | meaning |\n|---|---|---|\n",
    ]
    for name, one in vars(errors).items():
        if isinstance(one, type) and issubclass(one, errors.SentiError) and one is not errors.SentiError:
            may = "yes" if one.retry_can_help else "no"
            parts.append(f"| `{name}` | {may} | {cell(markdown(one.__doc__))} |\n")
    return "".join(parts)
