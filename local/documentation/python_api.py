"""The page on ``import senti_tasks``."""

import ast
import inspect
import textwrap
from typing import Any

import senti_tasks
from local.documentation.sources import field_docstrings, markdown

_HEAD = """\
# Python

```python
import senti_tasks

model = senti_tasks.load_model()
found = model.predict(["味道不错，还会再来", "再也不买了", None])
print(found[["label", "confidence", "reason"]])
```

[How to work in a notebook](../how-to/notebook.md) has more examples. `import senti_tasks` imports no library; each
function imports what it needs when it is first called. The warehouse is the one of the [settings](settings.md): `.env`
in the current folder, or in `SENTI_HOME`.

"""


def page() -> str:
    functions = [name for name in senti_tasks.__all__ if inspect.isfunction(getattr(senti_tasks, name))]
    classes = [name for name in senti_tasks.__all__ if inspect.isclass(getattr(senti_tasks, name))]
    parts = [_HEAD, *(_function(f"senti_tasks.{name}", getattr(senti_tasks, name)) for name in functions)]
    return "".join([*parts, *(_class(name, getattr(senti_tasks, name)) for name in classes)])


def _function(name: str, function: Any, level: str = "##") -> str:
    signature = str(inspect.signature(function)).replace("'", "")
    shown = f"{name.rpartition('.')[2]}{signature.replace('(self, ', '(').replace('(self)', '()')}"
    return f"{level} {name}\n\n```text\n{_folded(shown)}\n```\n\n{markdown(function.__doc__)}\n\n"


def _folded(signature: str) -> str:
    """A long signature with one argument on each line, as ruff writes it."""
    if len(signature) <= 100:
        return signature
    name, _, rest = signature.partition("(")
    arguments, _, returned = rest.rpartition(")")
    lines, depth, line = [], 0, ""
    for character in arguments:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            lines.append(line.strip())
            line = ""
        else:
            line += character
    inner = "".join(f"    {one},\n" for one in [*lines, line.strip()])
    return f"{name}(\n{inner}){returned}"


def _class(name: str, one: Any) -> str:
    module = inspect.getmodule(one)
    assert module is not None  # noqa: S101
    fields = field_docstrings(module).get(name, {})
    parts = [f"## senti_tasks.{name}\n\n{markdown(one.__doc__)}\n\n"]
    described = fields | _attributes(one)
    if described:
        parts.append("| attribute | meaning |\n|---|---|\n")
        parts += [f"| `{field}` | {' '.join(text.split())} |\n" for field, text in described.items()]
        parts.append("\n")
    for member, value in vars(one).items():
        if inspect.isfunction(value) and not member.startswith("_"):
            parts.append(_function(f"{name}.{member}", value, "###"))
    return "".join(parts)


def _attributes(one: Any) -> dict[str, str]:
    """Properties, and attributes that ``__init__`` describes."""
    found: dict[str, str] = {}
    if "__init__" in vars(one) and not hasattr(one, "__dataclass_fields__"):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one.__init__))).body
        assert isinstance(body, ast.FunctionDef)  # noqa: S101
        for line, text in zip(body.body, body.body[1:], strict=False):
            target = line.targets[0] if isinstance(line, ast.Assign) else None
            if (
                isinstance(target, ast.Attribute)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[target.attr] = markdown(str(text.value.value))
    for member, value in vars(one).items():
        if isinstance(value, property):
            found[member] = markdown(value.__doc__)
    return found
