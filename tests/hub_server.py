"""As much of the Hugging Face hub as its clients ask for to fetch data or weights, on this machine, from a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KINDS = ("models", "datasets")


def _info(root: Path, path: Path) -> dict[str, Any]:
    """Return what the hub tells of a file or a folder of a repository."""
    told: dict[str, Any] = {"path": path.relative_to(root).as_posix(), "oid": COMMIT, "size": 0}
    return told | ({"type": "directory"} if path.is_dir() else {"type": "file", "size": path.stat().st_size})


class _Handler(BaseHTTPRequestHandler):
    """Serves ``hub / models / OWNER / NAME`` and ``hub / datasets / OWNER / NAME``."""

    protocol_version = "HTTP/1.1"
    hub: Path
    asked: list[str]

    def do_GET(self) -> None:
        """Answer a question, or send a file."""
        words = [unquote(word) for word in urlsplit(self.path).path.strip("/").split("/")]
        self.asked.append(f"{self.command} {urlsplit(self.path).path}")
        if words[0] == "api" and len(words) > 3 and words[1] in KINDS:
            self._question(self.hub.joinpath(*words[1:4]), words[4:])
        else:
            kind, rest = (words[0], words[1:]) if words[0] in KINDS else ("models", words)
            self._file(self.hub.joinpath(kind, *rest[:2]), rest[2:])

    do_HEAD = do_POST = do_GET

    def _question(self, root: Path, words: list[str]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if not root.is_dir():
            self._send(404, b"", "RepoNotFound")
        elif not words or words[0] == "revision":
            files = [{"rfilename": p.relative_to(root).as_posix()} for p in root.rglob("*") if p.is_file()]
            told = {"_id": COMMIT[:24], "id": "/".join(root.parts[-2:]), "sha": COMMIT, "siblings": files}
            self._send(200, json.dumps({**told, "private": False, "gated": False, "tags": []}).encode())
        elif words[0] == "tree":
            folder = root.joinpath(*words[2:])
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            found = sorted(folder.rglob("*") if deep else folder.glob("*"))
            self._send(200, json.dumps([_info(root, path) for path in found]).encode())
        elif words[0] == "paths-info":
            asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
            found = [root / path for path in asked if (root / path).exists()]
            self._send(200, json.dumps([_info(root, path) for path in found]).encode())
        else:
            self._send(404, b"")

    def _file(self, root: Path, words: list[str]) -> None:
        path = root.joinpath(*words[2:])
        if not root.is_dir() or words[:1] != ["resolve"]:
            self._send(404, b"", "RepoNotFound")
        elif not path.is_file():
            self._send(404, b"", "EntryNotFound")
        else:
            self._send(200, path.read_bytes())

    def _send(self, status: int, content: bytes, error: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


@contextmanager
def hub_server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as a hub, and enter with its address and a growing list of what is asked of it."""
    handler = type("Handler", (_Handler,), {"hub": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
