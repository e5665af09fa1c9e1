"""What the plugin costs: every process of Airflow imports it, and the API server has no library for models."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ABSENT = ("torch", "transformers", "datasets", "sklearn", "scipy", "openvino", "nncf", "datasketch", "cleanlab")
"""Of the extra ``worker``, which the API server does not have, and what they bring along."""

STARTS = f"""
import sys
import airflow.api_fastapi.core_api.security
for name in {ABSENT}:
    sys.modules.setdefault(name, None)
before = set(sys.modules)
from airflow.plugins_manager import _get_plugins
plugins, errors = _get_plugins()
assert not errors, errors
assert [plugin.name for plugin in plugins] == ["sentiment"], plugins
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
assert not loaded & {{"senti_tasks", "jinja2", "pandas", "sentiment_routes"}}, loaded
sys.path.insert(0, "plugins")
import sentiment_routes
from senti_tasks.reports import evaluation
assert not {{"pandas", "pyarrow"}} & (set(sys.modules) - before)
"""


def test_loading_the_plugin_imports_nothing_and_the_page_needs_no_library_of_a_worker(tmp_path: Path) -> None:
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", STARTS], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
