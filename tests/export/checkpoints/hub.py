"""The hub without a network: its cache as the real client lays it out, and a server that speaks enough of its protocol.

The client itself is real: it reads this cache, and downloads from this server.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, file_download, utils

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BRANCH, OTHER_COMMIT = "fp16-fixed", "89abcdef0123456789abcdef0123456789abcdef"  # a second revision of each repository
PULL_REQUEST = "refs/pr/3"  # the same
REVISIONS = {
    **dict.fromkeys(("main", COMMIT), COMMIT),
    **dict.fromkeys((BRANCH, PULL_REQUEST, OTHER_COMMIT), OTHER_COMMIT),
}
ADDRESS = "http://127.0.0.1:{port}"


def write_cache(cache: Path, name: str, folder: Path) -> Path:
    """Put the files of `folder` into `cache` as the repository `name`, and return the snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(folder, repository / "snapshots" / COMMIT))


def use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, *, offline: bool = True) -> Path:
    """Let the hub's client use `cache`."""
    cache.mkdir(exist_ok=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    getattr(utils, "reset_sessions", close_nothing)()  # before 1.0 a session stays offline for ever
    return cache


def close_nothing() -> None:
    """Stand for what later clients no longer need."""


@dataclass
class FakeHub:
    """Repositories as folders named owner/repository, refusals by repository, and what was asked for."""

    folder: Path
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)  # HTTP status and X-Error-Code
    asked: list[str] = field(default_factory=list)  # paths of the files that were downloaded


@contextmanager
def serving(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve `hub` and let the client take it for the hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = False  # joined on closing
    address = ADDRESS.format(port=server.server_port)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    for module in (constants, file_download):  # before 1.0 the second has a copy of its own
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            data = self.answer()
            hub.asked.append(self.path)
            self.wfile.write(data)

        def answer(self) -> bytes:
            if self.path == "/":  # a sign of life
                self.send_response(200)
                self.end_headers()
                return b""
            if self.path.startswith("/api/models/"):
                return self.list_files(*urlsplit(self.path).path.split("/")[3:])
            owner, name, _, quoted, *file = self.path.strip("/").split("/")
            revision = unquote(quoted)
            path = hub.folder / owner / name / "/".join(file)
            missing = (404, "EntryNotFound") if (hub.folder / owner / name).is_dir() else (401, "RepoNotFound")
            if revision not in REVISIONS:
                missing = (404, "RevisionNotFound")
            there = path.is_file() and revision in REVISIONS
            status, code = hub.refusals.get(f"{owner}/{name}", (200, "") if there else missing)
            data = path.read_bytes() if status == 200 else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Repo-Commit", REVISIONS.get(revision, ""))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            if code:
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", "a message of the hub")
            self.end_headers()
            return data

        def list_files(self, owner: str, name: str, *_: str) -> bytes:
            """Answer what the client asks for as `model_info`."""
            root = hub.folder / owner / name
            files = [path for path in sorted(root.rglob("*")) if path.is_file()]
            told = [{"rfilename": str(path.relative_to(root)), "size": path.stat().st_size} for path in files]
            data = json.dumps({"id": f"{owner}/{name}", "siblings": told}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            return data

        def log_message(self, *_: object) -> None:
            return

    return Handler
