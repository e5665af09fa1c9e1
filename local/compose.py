"""Reads docker-compose.yml as Docker Compose does: the variables of .env, profiles, and the order of starting."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from senti_tasks.errors import ConfigError

_INNERMOST = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?+])([^${}]*))?\}")
_LITERAL = "\0"  # stands for $$ while variables are replaced


@dataclass(frozen=True)
class Service:
    """One service, with all variables replaced."""

    name: str
    command: list[str]
    """Empty for the command of the image."""
    environment: dict[str, str]
    configs: dict[str, str]
    """The path of each file in the container, and its content."""
    volumes: dict[str, str]
    """The path of each named volume in the container, and its name."""
    needs: dict[str, str]
    """The services that come first, each with the condition: ``service_healthy`` and so on."""
    health_check: list[str]
    """A command that succeeds when the service is healthy; empty if it has none."""
    profiles: frozenset[str] = field(default=frozenset())


def load(file: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """The services of ``file`` by name. ``variables`` are those of .env.

    Raises ``ConfigError`` for a variable that must be set and is not.
    """
    found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    contents = {
        name: (file.parent / config["file"]).read_text("utf-8")
        if "file" in config
        else replace_variables(config["content"], variables)
        for name, config in found.get("configs", {}).items()
    }
    return {name: _service(name, service, contents, variables) for name, service in found["services"].items()}


def replace_variables(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with the value for ``${NAME}``, ``${NAME:-default}``, ``${NAME:+text if set}`` and
    ``${NAME:?message}``, which nest, and a dollar sign for ``$$``. An empty variable counts as missing."""

    def value(found: re.Match[str]) -> str:
        name, operator, rest = found.groups()
        given = variables.get(name)
        if operator and operator.endswith("+"):
            return rest if given else ""
        if given:
            return given.replace("$", _LITERAL)
        if operator and operator.endswith("?"):
            raise ConfigError(f"{name} is not set ({rest}): `make secrets` makes .env with all secrets")
        return rest or ""

    text = text.replace("$$", _LITERAL)
    while _INNERMOST.search(text):
        text = _INNERMOST.sub(value, text)
    return text.replace(_LITERAL, "$")


def in_order(services: Mapping[str, Service]) -> list[Service]:
    """``services``, each after those that it needs."""
    done: dict[str, Service] = {}

    def add(service: Service) -> None:
        for name in service.needs:
            if name in services and name not in done:
                add(services[name])
        done[service.name] = service

    for service in services.values():
        if service.name not in done:
            add(service)
    return list(done.values())


def _service(name: str, given: Mapping[str, Any], contents: Mapping[str, str], variables: Mapping[str, str]) -> Service:
    def each(values: Any) -> list[str]:
        return [replace_variables(str(value), variables) for value in values or []]

    needs = given.get("depends_on", {})
    return Service(
        name,
        each(given.get("command")),
        {key: replace_variables(str(value), variables) for key, value in given.get("environment", {}).items()},
        {mount["target"]: contents[mount["source"]] for mount in given.get("configs", [])},
        {path: volume for volume, path in _named_volumes(given.get("volumes", []))},
        {other: how["condition"] for other, how in needs.items()},
        _command(each(given.get("healthcheck", {}).get("test"))),
        frozenset(given.get("profiles", [])),
    )


def _named_volumes(mounts: list[str]) -> Iterator[tuple[str, str]]:
    for mount in mounts:
        volume, path = mount.split(":")[:2]
        if "/" not in volume:
            yield volume, path


def _command(test: list[str]) -> list[str]:
    """The command of a health check."""
    if not test:
        return []
    how, *command = test
    return ["sh", "-c", *command] if how == "CMD-SHELL" else command
