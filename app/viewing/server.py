"""The server of the viewer: on this machine only, behind a random token, and read-only except for notes.

Whoever else is on this machine, or a page that the same browser shows, does not know the token. A name of a foreign
site that leads to this machine (DNS rebinding) is refused by the header `Host`. A path in a URL is a case's number and
one of a few fixed names, and never reaches the file system.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hybridseg.app.runtime.console import one_line

from .cases import Viewing
from .niivue import niivue_script
from .notes import ReviewNotes

ADDRESS = "127.0.0.1"
FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy: the page loads from its own server, and what it makes itself."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGES = {
    "": ("viewer.html", "text/html; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
}
"""The files of the page, by the rest of their URL."""
CASE = re.compile(r"cases/(\d{1,6})(?:/(prediction|reference|note|image-(\d{1,3})))?", re.ASCII)
LONGEST_BODY = 20_000
"""Bytes of a note that is sent."""
JSON = "application/json"


class ViewServer(ThreadingHTTPServer):
    """Serves the page, the volumes and the notes of some cases on 127.0.0.1.

    Args:
        viewing: the cases.
        notes: their notes.
        port: the port; 0 takes a free one.

    Attributes:
        url: where the page is.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, viewing: Viewing, notes: ReviewNotes, port: int = 0) -> None:
        super().__init__((ADDRESS, port), Handler)
        self.viewing, self.notes = viewing, notes
        self.token = secrets.token_urlsafe(24)
        self.url = f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where the browser left before it had read the answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def overview(self) -> dict[str, Any]:
        """Return the title and the list of cases with their notes."""
        empty: Mapping[str, str] = {"verdict": "", "note": ""}
        cases = []
        for case in self.viewing.listed():
            note = self.notes.rows.get(case["name"], empty)
            cases.append({**case, "verdict": note["verdict"], "note": note["note"]})
        return {"title": self.viewing.title, "notes": self.notes.path.name, "cases": cases}


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: ViewServer  # pyright: ignore[reportIncompatibleVariableOverride] - set by the server itself
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hybridseg", ""
    timeout = 60

    def do_GET(self) -> None:
        """Send the page, the list, what is known of a case, or a volume."""
        if (place := self.place()) is None:
            return
        viewing = self.server.viewing
        if place in PAGES:
            name, kind = PAGES[place]
            self.answer(HTTPStatus.OK, FOLDER.joinpath(name).read_bytes(), kind)
        elif place == "niivue.js":
            self.answer(HTTPStatus.OK, niivue_script().encode(), "text/javascript; charset=utf-8")
        elif place == "cases":
            self.answer_json(self.server.overview())
        elif (match := CASE.fullmatch(place)) and match[2] != "note" and int(match[1]) < len(viewing.cases):
            try:
                self.answer_case(int(match[1]), match[2], int(match[3] or 0))
            except (KeyError, IndexError):
                self.refuse(HTTPStatus.NOT_FOUND)
            except (ValueError, OSError, RuntimeError, MemoryError) as error:
                self.answer_json({"error": one_line(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
        else:
            self.refuse(HTTPStatus.NOT_FOUND)

    def answer_case(self, index: int, layer: str | None, channel: int) -> None:
        """Send what is known of a case, or one of its volumes."""
        viewing = self.server.viewing
        if layer is None:
            self.answer_json(viewing.describe(index))
        elif layer.startswith("image"):
            content, windows = viewing.image(index, channel)
            self.answer(HTTPStatus.OK, content, "application/octet-stream", {"X-Windows": json.dumps(windows)})
        else:
            self.answer(HTTPStatus.OK, viewing.labels(index, layer), "application/octet-stream")

    def do_POST(self) -> None:
        """Take a note on a case."""
        if (place := self.place()) is None:
            return
        match = CASE.fullmatch(place)
        if match is None or match[2] != "note" or int(match[1]) >= len(self.server.viewing.cases):
            self.refuse(HTTPStatus.NOT_FOUND)
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != JSON or not re.fullmatch(r"\d{1,9}", length, re.ASCII):
            self.refuse(HTTPStatus.BAD_REQUEST)
            return
        if int(length) > LONGEST_BODY:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            note = json.loads(self.rfile.read(int(length)))
            case = self.server.viewing.cases[int(match[1])].name
            self.server.notes.set(case, str(note["verdict"]), str(note["note"]))
        except (ValueError, KeyError, TypeError) as error:
            self.answer_json({"error": one_line(error)}, HTTPStatus.BAD_REQUEST)
        except OSError as error:
            self.answer_json({"error": one_line(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self.answer_json({"saved": str(self.server.notes.path)})

    def place(self) -> str | None:
        """Return what follows the token in the URL; refuse the request and return None without host and token."""
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or (origin and origin not in {f"http://{host}" for host in hosts}):
            self.refuse(HTTPStatus.FORBIDDEN)
            return None
        _, token, place = [*self.path.split("/", 2), "", ""][:3]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self.refuse(HTTPStatus.NOT_FOUND)
            return None
        return place

    def answer_json(self, record: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a record as JSON."""
        self.answer(status, json.dumps(record, allow_nan=False).encode(), JSON)

    def refuse(self, status: HTTPStatus) -> None:
        """Send an error, and close the connection, since the request may not have been read."""
        self.close_connection = True
        self.answer(status, f"{status.value} {status.phrase}\n".encode(), "text/plain; charset=utf-8")

    def answer(self, status: HTTPStatus, content: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a content of some kind."""
        self.send_response(status)
        for name, value in {**HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Print nothing: the URL has the token."""
