"""`make bi`: Superset with the dashboards of `dashboards/` over the warehouse, until Ctrl-C or SIGTERM."""

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
from filelock import FileLock, Timeout

from local import processes
from local.airflow import free_port
from senti_tasks import console
from senti_tasks.errors import SentiError
from senti_tasks.jobs.context import load_context
from senti_tasks.warehouse import database

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-bi" / "bin" / "python"
MARK = "SENTI_LOCAL_SUPERSET"
"""Environment variable that all processes of this Superset inherit. Its value is the home folder."""
PATIENCE_S = 300


class LocalSupersetError(SentiError):
    """Superset could not be started."""


class LocalSuperset:
    """
    A Superset that runs between ``__enter__`` and ``__exit__``, over the warehouse at ``warehouse``.

    ``home`` has its database, log, key and password, and can be used again. ``__enter__`` raises ``LocalSupersetError``
    if another Superset runs in ``home``, or if this one does not answer after ``PATIENCE_S``.
    """

    user = "admin"

    def __init__(self, home: Path, warehouse: str, *, port: int | None = None, python: Path = PYTHON) -> None:
        self.home = home.resolve()
        self.log = self.home / "superset.log"
        self.url = f"http://127.0.0.1:{port or free_port()}"
        self.password = ""
        self._warehouse = warehouse
        self._python = python
        self._server: subprocess.Popen[bytes] | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        if not self._python.exists():
            raise LocalSupersetError(f"there is no Superset at {self._python}: `make bi` installs it")
        self.home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.home / "lock", timeout=0))
            except Timeout:
                raise LocalSupersetError(f"another Superset already runs in {self.home}: stop it first") from None
            stack.callback(self._stop)
            self._stop()  # what a killed predecessor has left
            self.password = self._secret("password").read_text("utf-8")
            self._server = self._start()
            self._wait()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def processes(self) -> list[psutil.Process]:
        """Every live process of this Superset."""
        return processes.marked(MARK, str(self.home))

    def check(self) -> None:
        """Raises ``LocalSupersetError`` with the end of the log if the server has ended."""
        if self._server is not None and self._server.poll() is not None:
            end = "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-25:])
            raise LocalSupersetError(f"Superset has ended; the end of {self.log}:\n{end}")

    def _secret(self, name: str) -> Path:
        """A file with a secret that only its owner reads; made once."""
        file = self.home / name
        if not file.exists():
            with open(file, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                out.write(secrets.token_urlsafe(32 if name == "key" else 12))
        return file

    def _start(self) -> subprocess.Popen[bytes]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SUPERSET_", "PYTHONPATH"))}
        environment = inherited | {
            "SENTI_DATABASE_URL": self._warehouse,
            "SUPERSET_HOME": str(self.home),
            "SUPERSET_SECRET_KEY_FILE": str(self._secret("key")),
            "SUPERSET_ADMIN_PASSWORD_FILE": str(self.home / "password"),
            MARK: str(self.home),
        }
        environment.pop("SENTI_DATABASE_URL_FILE", None)
        address = self.url.removeprefix("http://")
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603  our own file
                [self._python, ROOT / "dashboards" / "serve.py", address],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C in the terminal reaches only this process
            )

    def _wait(self) -> None:
        begun = time.monotonic()
        while not self._answers():
            self.check()
            if time.monotonic() - begun > PATIENCE_S:
                raise LocalSupersetError(f"Superset did not answer within {PATIENCE_S} s: see {self.log}")
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _stop(self) -> None:
        processes.send(psutil.Process.terminate, [one for one in self.processes() if processes.leads_group(one)])
        processes.kill_all(MARK, str(self.home))
        if self._server is not None:
            self._server.wait()
            self._server = None


def main() -> None:
    """Starts Superset, prints its address and login, and stops it on Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(os.environ.setdefault("SENTI_HOME", str(ROOT))).resolve()
    home = place / "var" / "superset"
    try:
        engine = load_context().engine
        console.progress(
            f"Starting Superset in {home} over {database.location(engine)}; this takes about half a minute."
        )
        warehouse = engine.url.render_as_string(hide_password=False)
        with LocalSuperset(home, warehouse, port=free_port(8088)) as superset:
            console.progress(f"The dashboard: {superset.url}/superset/dashboard/sentiment/")
            console.progress(f"Log in as {superset.user}, password {superset.password} (kept in {home / 'password'}).")
            console.progress("Ctrl-C stops Superset.")
            while True:
                superset.check()
                time.sleep(1)
    except KeyboardInterrupt:
        console.progress("Superset has stopped.")
    except SentiError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
