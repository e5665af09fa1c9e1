"""`make up`: Airflow with its UI over the project's DAGs and warehouse, in the foreground until Ctrl-C or SIGTERM."""

import os
import signal
import sys
import time
from pathlib import Path

from local.airflow import LocalAirflow, free_port
from local.client import LocalAirflowError
from senti_tasks import console

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Starts Airflow, prints its address and login, and stops it on Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(os.environ.get("SENTI_HOME") or ROOT).resolve()
    home = place / "var" / "airflow"
    try:
        console.progress(f"Starting Airflow in {home}; this takes about half a minute.")
        with LocalAirflow(home, ROOT / "dags", {"SENTI_HOME": str(place)}, port=free_port(8080)) as airflow:
            console.progress(f"Airflow is up: {airflow.url}")
            console.progress(
                f"Log in as {airflow.user}, password {airflow.password} (kept in {home / 'passwords.json'})."
            )
            console.progress("Unpause a DAG to let its schedule run, or trigger it by hand. Ctrl-C stops Airflow.")
            while True:
                airflow.check()
                time.sleep(1)
    except KeyboardInterrupt:
        console.progress("Airflow has stopped.")
    except LocalAirflowError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
