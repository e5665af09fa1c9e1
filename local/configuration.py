"""Writes airflow.cfg and the password of the embedded Airflow. Secrets are generated once and kept in its home."""

import base64
import configparser
import json
import os
import secrets
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa


def write(home: Path, dags: Path, url: str, port: int, user: str) -> str:
    """Writes airflow.cfg, also for ``AIRFLOW_HOME=… airflow …`` in a shell, and returns the password of ``user``."""
    path, written = home / "airflow.cfg", configparser.ConfigParser(interpolation=None)
    written.read(path)
    config = configparser.ConfigParser(interpolation=None)
    for section, values in _settings(home, dags, url, port, user).items():
        # Airflow reads %% as a per-cent sign, which a path may have.
        config[section] = {key: value.replace("%", "%%") for key, value in values.items()}
    for section, key in (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret")):
        key_bytes = 32 if key == "fernet_key" else 64
        config[section][key] = written.get(section, key, fallback="") or _key(key_bytes)
    with _private(path) as file:
        config.write(file)
    path = home / "passwords.json"
    if not path.exists():
        with _private(path) as file:
            json.dump({user: secrets.token_urlsafe(12)}, file)
    return str(json.loads(path.read_text())[user])


def _settings(home: Path, dags: Path, url: str, port: int, user: str) -> dict[str, dict[str, str]]:
    """airflow.cfg: local paths, no outgoing connections, and short intervals, so that tasks start soon."""
    return {
        "core": {
            "dags_folder": str(dags),
            "plugins_folder": str(dags.parent / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": "2",
            "load_examples": "False",
            "simple_auth_manager_users": f"{user}:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
            "min_serialized_dag_update_interval": "1",
        },
        "database": {"sql_alchemy_conn": sa.URL.create("sqlite", database=str(home / "airflow.db")).render_as_string()},
        "logging": {
            "base_log_folder": str(home / "logs"),
            "dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
            "colored_console_log": "False",
        },
        "api_auth": {},
        "api": {"host": "127.0.0.1", "port": str(port), "base_url": url, "workers": "1"},
        "scheduler": {
            "scheduler_heartbeat_sec": "1",
            "scheduler_idle_sleep_time": "0.1",
            "task_instance_heartbeat_timeout": "20",
            "task_instance_heartbeat_timeout_detection_interval": "5",
            "orphaned_tasks_check_interval": "30",
        },
        "workers": {"min_heartbeat_interval": "1", "socket_cleanup_timeout": "2"},
        "dag_processor": {
            "dag_bundle_storage_path": str(home / "bundles"),
            "refresh_interval": "2",
            "bundle_refresh_check_interval": "1",
            "parsing_processes": "1",
        },
    }


def _key(length: int) -> str:
    """``length`` random bytes in URL-safe base64, as Fernet needs them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(length)).decode()


def _private(path: Path) -> TextIO:
    """Opens the file for writing, empty; a new file is readable only by its owner."""
    return open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600))
