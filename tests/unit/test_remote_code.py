"""No code of a model or of a data set is ever run."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file for folder in ("senti_tasks", "local", "benchmarks", "dags") for file in (ROOT / folder).rglob("*.py")
)


def loads(tree: ast.AST) -> list[ast.Call]:
    """The calls in ``tree`` that load a model, a configuration or a tokenizer of transformers, or build a pipeline."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        task = node.args[0] if node.args else None
        is_pipeline = name == "pipeline" and isinstance(task, ast.Constant)
        if name == "from_pretrained" or is_pipeline:
            found.append(node)
    return found


def test_every_load_refuses_code_of_a_model() -> None:
    """Unset, transformers asks on a terminal whether to run the code that a model folder brings."""
    calls = [(file, call) for file in FILES for call in loads(ast.parse(file.read_text("utf-8")))]
    assert len(calls) >= 10, "the search finds the calls"
    unset = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file, call in calls
        if not any(
            word.arg == "trust_remote_code" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in call.keywords
        )
    ]
    assert unset == [], "pass trust_remote_code=False"
