"""What importing costs: DAG files read the jobs all day long, and a GPU machine has little installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "airflow")


def modules(package: str) -> list[str]:
    """``package`` and every module below it."""
    paths = sorted((ROOT / package.replace(".", "/")).rglob("*.py"))
    assert paths, f"{package} is not a folder of modules"
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def in_a_fresh_interpreter(program: str) -> str:
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("package", ["senti_tasks.jobs", "senti_tasks.cli"])
def test_importing_it_loads_nothing_heavy(package: str) -> None:
    program = f"""
import importlib, sys
for module in {modules(package)}:
    importlib.import_module(module)
    if loaded := [name for name in {HEAVY} if name in sys.modules]:
        sys.exit(f"importing {{module}} loads {{loaded}}")
"""
    assert in_a_fresh_interpreter(program) == ""


def test_scoring_imports_where_torch_transformers_and_numpy_are_all_there_is() -> None:
    absent = ("sqlalchemy", "alembic", "airflow", "datasets", "pandas", "pyarrow", "pydantic", "pydantic_settings",
              "upath", "typer", "sklearn", "scipy", "accelerate", "psycopg", "openvino", "nncf")  # fmt: skip
    program = f"""
import sys
for name in {absent}:
    sys.modules[name] = None
import senti_tasks.scoring.loading, senti_tasks.scoring.engines.on_torch, senti_tasks.scoring.token_budget
print(*sorted(name for name in sys.modules if name.startswith("senti_tasks")))
"""
    loaded = in_a_fresh_interpreter(program).split()
    assert "senti_tasks.scoring.scorer" in loaded
    assert {name.split(".")[1] for name in loaded if "." in name} <= {"errors", "scoring", "text"}
