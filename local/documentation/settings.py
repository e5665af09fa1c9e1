"""The pages on settings and configurations."""

from dataclasses import MISSING, fields, is_dataclass

from local.documentation.sources import Variable, cell, field_docstrings, markdown, variables
from senti_tasks import config, settings
from senti_tasks.scoring import config as scoring_config

_HEAD = """\
# Settings

Settings say where things are and what runs. Write them into `.env` in the project's folder (copy `.env.example`), or
set them as environment variables, which override the file. `SENTI_…_FILE` names a file that holds the value of the
setting. Values that change results are in [configurations](configuration.md).

"""
_ELSEWHERE = """\
## Settings without a line in .env.example

docker-compose.yml and the Kubernetes files set these.

| setting | default | meaning |
|---|---|---|
"""


def page() -> str:
    parts, section = [_HEAD], ""
    listed = variables()
    for variable in listed:
        if variable.section != section:
            section = variable.section
            parts.append(f"## {section}\n\n")
        parts.append(_variable(variable))
    docs = field_docstrings(settings)["Settings"]
    names = {variable.name for variable in listed}
    parts.append(_ELSEWHERE)
    for name, field in settings.Settings.model_fields.items():
        if (variable_name := f"SENTI_{name.upper()}") not in names:
            default = "none" if field.default is None or field.default_factory else f"`{field.default}`"
            parts.append(f"| `{variable_name}` | {default} | {cell(docs[name])} |\n")
    return "".join(parts)


def _variable(variable: Variable) -> str:
    default = f"Default: `{variable.default}`" if variable.default else "No default"
    return f"### {variable.name}\n\n{variable.description}\n\n{default}\n\n"


def configuration_page() -> str:
    parts = [
        "# Configurations\n\n",
        "Configurations hold what changes results. A DAG run takes them as parameters (`config`, `gate`), commands as ",
        "options, and `senti_tasks.train` as arguments. They are checked before any work begins. That of a training ",
        "is recorded with its model.\n\n",
    ]
    for module in (config, scoring_config):
        docs = field_docstrings(module)
        for name, one in vars(module).items():
            if is_dataclass(one) and isinstance(one, type) and one.__module__ == module.__name__ and name[0] != "_":
                summary = markdown(one.__doc__)
                parts.append(f"## {name}\n\n{summary}\n\n| field | default | meaning |\n|---|---|---|\n")
                for field in fields(one):
                    default = "" if field.default is MISSING else f"`{field.default}`"
                    parts.append(f"| `{field.name}` | {default} | {cell(docs[name].get(field.name, ''))} |\n")
                parts.append("\n")
    return "".join(parts)
