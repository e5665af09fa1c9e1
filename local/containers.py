"""A service of docker-compose.yml as processes of this machine: its environment, files and command, translated."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local import processes
from local.compose import Service

ROOT = Path(__file__).resolve().parents[1]
MARK = "SENTI_STACK_SERVICE"
"""Environment variable that all processes of a service inherit."""


@dataclass(frozen=True)
class Place:
    """Where the services are on this machine instead of in containers."""

    folder: Path
    ports: Mapping[str, int]
    """``postgres``, ``redis``, ``api-server``, ``scheduler`` and ``watch``: the port of each, on 127.0.0.1."""

    def translate(self, text: str, service: str) -> str:
        """``text`` with the paths and addresses of this machine in the place of those in a container."""
        here, ports = "127.0.0.1", self.ports
        other = {
            "/run/secrets": str(self.folder / "secrets" / service),
            "/opt/airflow": str(self.folder / "airflow"),
            "/var/lib/senti": str(self.folder / "senti"),
            "/opt/senti": str(ROOT),
            "/tmp/": f"{self.folder / 'tmp' / service}/",  # noqa: S108  a container's own
            "@postgres/": f"@{here}:{ports['postgres']}/",
            "@redis:6379": f"@{here}:{ports['redis']}",
            "redis-cli ": f"redis-cli -p {ports['redis']} ",
            "api-server:8080": f"{here}:{ports['api-server']}",
            "localhost:8080": f"{here}:{ports['api-server']}",
            "localhost:8974": f"{here}:{ports['scheduler']}",
            "0.0.0.0:9108": f"{here}:{ports['watch']}",
        }
        return re.sub("|".join(map(re.escape, other)), lambda found: other[found[0]], text)


@dataclass
class Container:
    """The processes of one service. A service that has several, as workers have, has several containers."""

    service: Service
    place: Place
    name: str
    further: Mapping[str, str] = field(default_factory=dict)
    """Environment that this machine needs in addition, and settings of a test."""
    command: list[str] | None = None
    """In the place of the service's command."""
    user: str | None = None
    searched: Path | None = None
    """A folder of programs that comes first."""

    def __post_init__(self) -> None:
        self.log = self.place.folder / "output" / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        foreign = ("AIRFLOW_", "SENTI_", "HF_", "MLFLOW_", "AWS_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        translated = {key: self.place.translate(value, self.name) for key, value in self.service.environment.items()}
        paths = [str(self.searched or ""), str(Path(sys.executable).parent), inherited.get("PATH", "")]
        return inherited | {
            "PATH": os.pathsep.join(filter(None, paths)),
            "AIRFLOW_HOME": str(self.place.folder / "airflow"),
            "HOSTNAME": self.name,
            "TMPDIR": str(self.place.folder / "tmp" / self.name),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "SPT_NOENV": "1",  # or setproctitle would overwrite the environment that ``processes`` reads
            **translated,
            **self.further,
            MARK: f"{self.place.folder}/{self.name}",
        }

    def prepare(self) -> None:
        """Writes the files that Compose puts into the container."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        for folder in ("airflow/logs", "senti", f"tmp/{self.name}", f"secrets/{self.name}"):
            (self.place.folder / folder).mkdir(parents=True, exist_ok=True)
        for target, content in self.service.configs.items():
            if not target.startswith("/run/secrets/"):
                continue
            file = Path(self.place.translate(target, self.name))
            file.write_text(self.place.translate(content, self.name), "utf-8")
            file.chmod(0o600)
            if self.user:
                shutil.chown(file, self.user)

    def start(self) -> None:
        """Starts the command. Does nothing while it runs."""
        if self.is_running():
            return
        command = self.command or [self.translated(part) for part in self.service.command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the command of docker-compose.yml
                command,
                cwd=self.place.folder / "tmp" / self.name,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.user,
                start_new_session=True,
            )

    def translated(self, text: str) -> str:
        return self.place.translate(text, self.name)

    def wait(self) -> int:
        """Waits for the end of the command, and returns its exit status."""
        return self._process.wait() if self._process else 0

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def is_healthy(self) -> bool:
        """Whether the service's own health check succeeds."""
        check = [self.translated(part) for part in self.service.health_check]
        if check and check[0] == "python":
            check[0] = sys.executable
        done = subprocess.run(  # noqa: S603  the health check of docker-compose.yml
            check, env=self.environment, capture_output=True, check=False, timeout=60
        )
        return done.returncode == 0

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """What `docker compose exec` does: runs ``command`` with the environment of the service."""
        return subprocess.run(  # noqa: S603  a command of ours
            command,
            cwd=self.place.folder / "tmp" / self.name,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        return processes.marked(MARK, self.environment[MARK])

    def kill(self) -> None:
        """SIGKILL for every process of the service, as when its machine loses power."""
        if self.is_running() and self._process is not None:
            self._process.kill()  # Redis writes its title over its environment, and so over the mark
        processes.kill_all(MARK, self.environment[MARK])
        self._reap()

    def stop(self, patience_s: float = 5) -> None:
        """SIGTERM for the command, and SIGKILL for what is left after ``patience_s``."""
        self.signal(psutil.Process.terminate, patience_s)
        self.kill()

    def signal(self, send: Callable[[psutil.Process], None], patience_s: float = 5) -> None:
        """Sends a signal to the command alone."""
        if self._process is not None and self.is_running():
            processes.send(send, [psutil.Process(self._process.pid)], patience_s)

    def end_of_log(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-lines:])

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
