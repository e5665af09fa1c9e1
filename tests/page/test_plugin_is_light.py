"""What the plugin costs: every process of Airflow imports it, and the API server has no library for models."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = ("torch", "transformers", "datasets", "sklearn", "scipy", "openvino", "nncf", "datasketch", "cleanlab")
"""Of the extra ``worker``, which the API server does not have, and what they bring along."""

LOAD = """
import sys, time
import airflow.plugins_manager
before, begun = set(sys.modules), time.perf_counter()
from airflow.plugins_manager import _get_plugins
plugins, errors = _get_plugins()
assert not errors, errors
assert [plugin.name for plugin in plugins] == ["sentiment"], plugins
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"senti_tasks", "fastapi", "pandas", "torch", "jinja2", "sentiment_routes"}))
"""
SERVE = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None
sys.path.insert(0, "plugins")
import airflow.api_fastapi.core_api.security
before = set(sys.modules)
import sentiment_routes
from senti_tasks.reports import evaluation
print(sorted({{"pandas", "pyarrow"}} & (set(sys.modules) - before)))
"""


def python(code: str, home: Path) -> str:
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_loading_the_plugin_imports_nothing(tmp_path: Path) -> None:
    assert python(LOAD, tmp_path) == "[]"


def test_the_page_needs_no_library_of_a_worker_and_no_pandas(tmp_path: Path) -> None:
    assert python(SERVE, tmp_path) == "[]"
