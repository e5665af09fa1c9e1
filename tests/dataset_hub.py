"""A loopback hub of data sets that answers as the Hugging Face Hub does, and a process that imports from it."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


class Shelf:
    """What the hub holds: data sets, each with its commits, oldest first."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Files]] = {}
        self.gated: set[str] = set()
        self.failing: set[str] = set()
        """Those whose files, of all there is, the hub fails to give."""
        self.asked: list[str] = []

    def push(self, name: str, files: Files) -> str:
        """A new commit of ``name``, which its main branch is at from now on."""
        content = b"".join(path.encode() + body for path, body in sorted(files.items()))
        commit = hashlib.sha1(name.encode() + content, usedforsecurity=False).hexdigest()
        self.commits.setdefault(name, {})[commit] = files
        return commit

    def commit(self, name: str, revision: str) -> str | None:
        commits = self.commits[name]
        return list(commits)[-1] if revision == "main" else revision if revision in commits else None


class DatasetHub(BaseHTTPRequestHandler):
    """``/api/datasets`` (search, info, tree, paths-info) and ``/datasets/…/resolve``."""

    def __init__(self, shelf: Shelf, *request: Any) -> None:
        self.shelf = shelf
        super().__init__(*request)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.shelf.asked.append(f"{self.command} {self.path}")
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        api = parts[:2] == ["api", "datasets"]
        if parts == ["api", "datasets"]:
            return self.search(parse_qs(url.query)["search"][0])
        name = "/".join(parts[2:4] if api else parts[1:3])
        if name not in self.shelf.commits:
            return self.refuse(401, "RepoNotFound")
        rest = parts[4:] if api else parts[3:]
        revision = rest[1] if len(rest) > 1 else "main"
        commit = self.shelf.commit(name, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound")
        files, path = self.shelf.commits[name][commit], "/".join(rest[2:])
        if not api:
            return self.file(name, commit, files, path)
        if rest[:1] == ["tree"]:
            return self.json([one for one in _tree(files) if one["path"].startswith(path)])
        if rest[:1] == ["paths-info"]:
            wanted = self.body()["paths"]
            return self.json([one for one in _tree(files) if one["path"] in wanted])
        return self.json({**self.about(name), "sha": commit, "siblings": [{"rfilename": path} for path in files]})

    def search(self, words: str) -> None:
        self.json([self.about(name) for name in self.shelf.commits if words in name])

    def about(self, name: str) -> dict[str, Any]:
        return {
            "_id": name,
            "id": name,
            "downloads": 1200,
            "likes": 7,
            "lastModified": "2026-10-01T08:00:00.000Z",
            "description": "酒店评论\n\t\t一万条",
            "tags": ["language:zh", "task_categories:text-classification"],
            "gated": "manual" if name in self.shelf.gated else False,
            "private": False,
        }

    def file(self, name: str, commit: str, files: Files, path: str) -> None:
        if name in self.shelf.failing:
            self.refuse(507, "InsufficientStorage")  # a status after which the client does not try again
        elif name in self.shelf.gated:
            self.refuse(403, "GatedRepo")
        elif path not in files:
            self.refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        else:
            etag = hashlib.sha1(files[path], usedforsecurity=False).hexdigest()
            self.answer(200, files[path], {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})

    def body(self) -> dict[str, Any]:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        found: dict[str, Any] = json.loads(raw) if raw.startswith("{") else parse_qs(raw)
        return found

    def json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.answer(status, b"{}", {"X-Error-Code": code, **(headers or {})})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *message: object) -> None:
        """Quiet."""


def _tree(files: Files) -> list[dict[str, Any]]:
    folders = {str(folder) for path in files for folder in Path(path).parents} - {"."}
    return [
        *({"type": "directory", "path": folder, "size": 0, "oid": folder} for folder in sorted(folders)),
        *(
            {
                "type": "file",
                "path": path,
                "size": len(body),
                "oid": hashlib.sha1(body, usedforsecurity=False).hexdigest(),
            }
            for path, body in sorted(files.items())
        ),
    ]


@contextmanager
def serving(shelf: Shelf) -> Iterator[str]:
    """The address of a hub that holds ``shelf``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(DatasetHub, shelf))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Importer:
    """A process that looks for the hub at one address and does what it is told: the client reads that once."""

    def __init__(self, endpoint: str, home: Path) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SENTI_", "HF_"))},
            "SENTI_HOME": str(home),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "no_proxy": "127.0.0.1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dataset_hub"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, job: str, **arguments: Any) -> Any:
        """What the job of ``upkeep`` answers, or its error as ``{"error": …}``."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([job, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout
        self._process.stdout.close()


def main() -> None:
    """Runs a job a line: ``[name, arguments]`` in, its answer out."""
    from senti_tasks.errors import SentiError
    from senti_tasks.jobs import imports
    from senti_tasks.jobs.operations import upkeep

    for line in sys.stdin:
        job, arguments = json.loads(line)
        try:
            answer = getattr(upkeep if hasattr(upkeep, job) else imports, job)(**arguments)
        except SentiError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
