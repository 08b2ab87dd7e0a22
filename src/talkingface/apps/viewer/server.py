"""The server behind the page: this machine only, no one without the address, and no picture that nobody waits for."""

from __future__ import annotations

import contextlib
import hmac
import json
import math
import re
import secrets
import socket
import tempfile
import threading
import time
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from talkingface import api
from talkingface.api import Viewing
from talkingface.apps.viewer.shots import SIZES, read_wish
from talkingface.apps.viewer.turns import Turns
from talkingface.core.errors import OutputError, TalkingFaceError
from talkingface.core.types import check_number
from talkingface.core.view import MAX_FOV, MAX_ZOOM
from talkingface.video.jpeg import to_jpeg

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost")
"""What an address may call this machine; any other is another site's that has been led here."""
JPEG_QUALITY = 88
_PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
}
_MOST_BODY = 1 << 14
_IDLE_S = 120
_CHUNK = 1 << 18
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def view(face: Any, moving: Any = None, *, port: int = 0, **options: Any) -> ViewServer:
    """Show an avatar on a page of this machine, from all around, with a voice or a motion.

    The page is there until the result is closed: leave its `with` block, or call `close`. `port` 0 takes a free one.
    Everything else is as in `api.open_viewing`. Raises what that raises, and OutputError for a port that is taken.

    Example:
        with talkingface.view("me.avatar", "hi.wav") as page:
            print(page.address)
            page.wait()
    """
    check_number("port", port, 0, 65535, whole=True)
    return ViewServer(api.open_viewing(face, moving, **options), port)


class ViewServer:
    """Serves the page of a `Viewing` until it is closed. `address` holds a secret: who has it may look."""

    def __init__(self, viewing: Viewing, port: int = 0) -> None:
        self.viewing = viewing
        self._token = secrets.token_urlsafe(16)
        self._sound = None if viewing.speech is None else _Sound(viewing)
        self._turns = Turns()
        try:
            self._server = _Server(self, port)
        except OSError as error:
            if self._sound is not None:
                self._sound.close()
            raise OutputError(
                f"port {port} cannot be used ({(error.strerror or 'refused').lower()}); name another with --port, or "
                "leave it out"
            ) from error
        self.port: int = self._server.server_address[1]
        self.address = f"http://{HOST}:{self.port}/{self._token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="viewer", daemon=True)
        self._thread.start()

    def __enter__(self) -> ViewServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until it is closed by another thread, or until Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """End the page and free the port; closing again does nothing."""
        self._turns.end()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._sound is not None:
            self._sound.close()

    def allows(self, token: str) -> bool:
        """Whether this is the secret of the address."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def facts(self) -> dict[str, Any]:
        """What the page needs to know before it asks for pictures."""
        seen = self.viewing
        return {
            "system": seen.system.SPEC.name,
            "frames": seen.num_frames,
            "fps": seen.fps,
            "size": seen.size,
            "sizes": SIZES,
            "sound": self._sound is not None,
            "movements": [asdict(movement) for movement in seen.movements],
            "settings": [asdict(setting) for setting in seen.settings],
            "landmarks": seen.has_landmarks,
            "colours": "replace" in seen.system.SPEC.backgrounds,
            "most_fov": math.degrees(MAX_FOV),
            "most_zoom": MAX_ZOOM,
        }

    def picture(self, body: bytes) -> tuple[bytes, dict[str, str]] | None:
        """The JPEG that a request asks for, with headers about it; None if the page asks for something newer."""
        wish = read_wish(body)
        with self._turns.take(wish.page, wish.number) as mine:
            if not mine:
                return None
            started_s = time.perf_counter()
            rgb = self.viewing.draw(wish.shot)
            drawn_s = time.perf_counter()
        jpeg = to_jpeg(rgb, JPEG_QUALITY)
        ended_s = time.perf_counter()
        timing = f"draw;dur={1e3 * (drawn_s - started_s):.2f}, jpeg;dur={1e3 * (ended_s - drawn_s):.2f}"
        return jpeg, {"Server-Timing": timing, "X-Number": str(wish.number)}

    def sound(self) -> _Sound | None:
        """What is heard, as a WAV file, if anything is."""
        return self._sound


class _Sound:
    """A WAV file in a temporary place, any part of which can be read by any thread."""

    def __init__(self, viewing: Viewing) -> None:
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="talkingface-")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise OutputError("the sound needs a temporary file; set TMPDIR to a writable folder") from error
        self._lock = threading.Lock()
        try:
            viewing.write_sound(self._file)
            self.length = self._file.seek(0, 2)
        except BaseException:
            self._file.close()
            raise

    def read(self, first: int, count: int) -> bytes:
        """`count` bytes from `first` on."""
        with self._lock:
            self._file.seek(first)
            return self._file.read(count)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._file.close()


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that closing ends them too."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: ViewServer, port: int) -> None:
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no fault."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "talkingface", ""
    disable_nagle_algorithm = True  # otherwise every picture waits 40 ms for the receipt of its headers
    timeout = _IDLE_S
    wbufsize = -1  # headers and picture leave in one piece
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        path = self._admitted()
        if path is None:
            return
        owner = self.server.owner
        if path in _PAGE:
            name, kind = _PAGE[path]
            self._answer(HTTPStatus.OK, (files("talkingface.apps.viewer") / "page" / name).read_bytes(), kind)
        elif path == "facts.json":
            self._answer(HTTPStatus.OK, json.dumps(owner.facts()).encode(), "application/json")
        elif path == "voice.wav" and (sound := owner.sound()) is not None:
            self._send_sound(sound)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing of this name")

    def do_POST(self) -> None:
        body = self._body()
        path = None if body is None else self._admitted()
        if body is None or path is None:
            return
        if path != "frame":
            return self._refuse(HTTPStatus.NOT_FOUND, "there is nothing of this name")
        try:
            found = self.server.owner.picture(body)
        except TalkingFaceError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            said = " ".join(str(error).split())
            return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {said}")
        if found is None:
            return self._answer(HTTPStatus.NO_CONTENT, b"", None)
        self._answer(HTTPStatus.OK, found[0], "image/jpeg", found[1])

    def _admitted(self) -> str | None:
        """The path behind the secret; None, after an answer, for whoever does not know it or calls us otherwise."""
        if self._host_of(f"//{self.headers.get('Host', '')}") not in _NAMES:
            self._refuse(HTTPStatus.FORBIDDEN, "this page is for this machine only")
            return None
        origin = self.headers.get("Origin")
        if origin is not None and self._host_of(origin) not in _NAMES:
            self._refuse(HTTPStatus.FORBIDDEN, "another site may not ask for this")
            return None
        token, slash, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        if not self.server.owner.allows(token):
            self._refuse(HTTPStatus.FORBIDDEN, "use the whole address that talkingface view has printed")
            return None
        if not slash:
            self._answer(HTTPStatus.PERMANENT_REDIRECT, b"", None, {"Location": f"/{token}/"})
            return None
        return rest

    @staticmethod
    def _host_of(address: str) -> str | None:
        try:
            return urlsplit(address).hostname
        except ValueError:
            return None

    def _body(self) -> bytes | None:
        """What was sent; None, after an answer, for what is too long or has no length."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= _MOST_BODY):
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST, f"a request has a length, of at most {_MOST_BODY} bytes")
            return None
        return self.rfile.read(int(length))

    def _send_sound(self, sound: _Sound) -> None:
        """The sound, or the part of it that a player asks for when someone moves the time."""
        asked = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", self.headers.get("Range", ""), re.ASCII)
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else sound.length - 1, sound.length - 1)
        if first > last:
            headers = {"Content-Range": f"bytes */{sound.length}"}
            return self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", None, headers)
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(last + 1 - first), "Content-Type": "audio/wav"}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{sound.length}"
        self._begin(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, headers)
        for place in range(first, last + 1, _CHUNK):
            self.wfile.write(sound.read(place, min(_CHUNK, last + 1 - place)))

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str | None, headers: dict[str, str] | None = None) -> None:
        shown = dict(headers or {})
        if status is not HTTPStatus.NO_CONTENT:
            shown["Content-Length"] = str(len(body))
        if kind is not None:
            shown["Content-Type"] = kind
        self._begin(status, shown)
        self.wfile.write(body)
        self.wfile.flush()

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed."""
