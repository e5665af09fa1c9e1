"""Where things are, read from SENTI_* variables and .env."""

from pathlib import Path

import pytest

from senti_tasks import settings
from senti_tasks.errors import ConfigError


def test_without_a_setting_everything_lies_below_var_in_the_home_folder(bare_home: Path) -> None:
    found = settings.load()
    assert found.url == f"sqlite:///{bare_home}/var/warehouse.db"
    assert found.artifacts_root == f"{bare_home}/var/artifacts"
    assert found.work_folder == bare_home / "var/work"
    assert (found.reviews_table, found.review_id_type, found.timezone) == ("reviews", "bigint", "Asia/Shanghai")
    assert found.zone.key == "Asia/Shanghai"


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
    ("url", "placed"),
    [
        ("sqlite:////data/warehouse.db", "sqlite:////data/warehouse.db"),
        ("sqlite:///mine.db", "sqlite:///{home}/mine.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://me@db/shop", "postgresql+psycopg://me@db/shop"),
    ],
)
def test_a_relative_sqlite_file_lies_below_home_and_nothing_else_moves(
    url: str, placed: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", url)
    assert settings.load().url == placed.format(home=bare_home)


@pytest.mark.parametrize(
    ("artifacts", "root"), [("s3://bucket/senti", "s3://bucket/senti"), ("/mnt/a", "/mnt/a"), ("a", "{home}/a")]
)
def test_an_artifact_store_may_be_remote(
    artifacts: str, root: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_ARTIFACTS", artifacts)
    assert settings.load().artifacts_root == root.format(home=bare_home)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SENTI_REVIEW_ID_TYPE", "int", "SENTI_REVIEW_ID_TYPE='int': Input should be 'bigint', 'text' or 'uuid'"),
        ("SENTI_TIMEZONE", "Shanghai", "SENTI_TIMEZONE='Shanghai': expected an IANA time zone such as Asia/Shanghai"),
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
