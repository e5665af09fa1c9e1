"""Where things are, read from SENTI_* variables and .env."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from senti_tasks import labels, settings
from senti_tasks.errors import ConfigError


def test_without_a_setting_everything_lies_below_var_in_the_home_folder(bare_home: Path) -> None:
    found = settings.load()
    assert found.artifacts_root == f"{bare_home}/var/artifacts"
    assert found.work_folder == bare_home / "var/work"
    assert (found.reviews_table, found.review_id_type, found.timezone) == ("reviews", "bigint", "Asia/Shanghai")
    assert found.zone.key == "Asia/Shanghai"
    assert found.label_set == labels.DEFAULT


def test_without_a_home_the_folder_of_the_command_is_it(
    bare_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SENTI_HOME")
    monkeypatch.chdir(tmp_path)
    assert settings.load().home == tmp_path


def test_the_env_file_of_the_home_folder_is_read_and_a_variable_overrules_it(
    bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_home / ".env").write_text("SENTI_TIMEZONE=Europe/Berlin\nSENTI_BASE_MODEL=scratch:tiny\n", "utf-8")
    monkeypatch.setenv("SENTI_TIMEZONE", "Asia/Tokyo")
    assert (settings.load().timezone, settings.load().base_model) == ("Asia/Tokyo", "scratch:tiny")


def test_an_empty_variable_counts_as_none(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_TIMEZONE", "")
    assert settings.load().timezone == "Asia/Shanghai"


def test_other_variables_of_the_env_file_are_left_alone(bare_home: Path) -> None:
    (bare_home / ".env").write_text("AIRFLOW_HOME=/airflow\nSENTI_UNHEARD_OF=1\n", "utf-8")
    assert settings.load().timezone == "Asia/Shanghai"


@pytest.mark.parametrize(
    ("artifacts", "root"),
    [("s3://bucket/senti", "s3://bucket/senti"), ("/mnt/a", "/mnt/a"), ("a", "{home}/a"), ("~/a", "/home/li/a")],
)
def test_an_artifact_store_may_be_remote(
    artifacts: str, root: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/li")
    monkeypatch.setenv("SENTI_ARTIFACTS", artifacts)
    assert settings.load().artifacts_root == root.format(home=bare_home)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SENTI_LABELS", "好评", "SENTI_LABELS='好评': expected two names or more, from the most negative to the most"),
        ("SENTI_REVIEW_ID_TYPE", "int", "SENTI_REVIEW_ID_TYPE='int': Input should be 'bigint', 'text' or 'uuid'"),
        ("SENTI_TIMEZONE", "Shanghai", "SENTI_TIMEZONE='Shanghai': expected an IANA time zone such as Asia/Shanghai"),
        ("SENTI_NO_TRAINING", "01:30", "SENTI_NO_TRAINING='01:30': expected two times of the day such as 01:30-05:00"),
        ("SENTI_NO_TRAINING", "1:30-25:00", "SENTI_NO_TRAINING='1:30-25:00': expected two times of the day such as"),
        ("SENTI_NO_TRAINING", "03:00-03:00", "expected two different times of the day, found '03:00-03:00'"),
        ("SENTI_CHECKPOINT_MINUTES", "0", "SENTI_CHECKPOINT_MINUTES='0': Input should be greater than or equal to 1"),
        ("SENTI_TRAINING_PROCESSES", "all", "expected auto or a number of processes from 1 to 64, found 'all'"),
        ("SENTI_TIMEZONE", "../etc/passwd", "SENTI_TIMEZONE='../etc/passwd': expected an IANA time zone"),
    ],
)
def test_a_bad_setting_names_its_variable_its_value_and_what_it_may_be(
    name: str, value: str, complaint: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        settings.load()
    assert complaint in str(error.value)


def test_a_training_reports_to_mlflow_where_a_server_is_named_and_the_library_is_there(
    bare_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is found out without importing it: this one cannot be."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("raise AssertionError", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert settings.load().report_to is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert settings.load().report_to == "mlflow"


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="mlflow is installed here")
def test_a_tracking_server_without_the_library_is_warned_about(
    bare_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert settings.load().report_to is None
    assert "MLFLOW_TRACKING_URI is set, but nothing goes there: install mlflow-skinny" in caplog.text


def test_the_tracking_server_of_the_env_file_goes_to_the_process_where_mlflow_looks(
    bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # so that it is put back afterwards
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (bare_home / ".env").write_text("MLFLOW_TRACKING_URI=sqlite:////data/mlflow.db\n", "utf-8")
    settings.load()
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:////data/mlflow.db"
