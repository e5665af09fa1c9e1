"""The executor that docker-compose.yml runs on."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_celery_executor_and_the_app_of_its_workers_import(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", "from airflow.providers.celery.executors.celery_executor import CeleryExecutor, app"],
        env=environment | {"AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
