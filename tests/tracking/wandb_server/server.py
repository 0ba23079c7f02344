"""HTTP on loopback: GraphQL, the stream of a run's lines, and files; and what goes wrong when a test wants it to."""

import gzip
import json
import re
import socket
import threading
import traceback
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlparse

from .graphql import Answer
from .objects import Account
from .store import NotFoundError, Store

KEY = "f4ce" * 10  # 40 characters, as W&B's
ENTITY, TEAM = "tester", "team"
STREAM = re.compile(r"/files/([^/]+/[^/]+/[^/]+)/file_stream")
BLOB = re.compile(r"/artifacts(?:V2)?/.*?\b([0-9a-f]{32})(?:/[^/]+)?")


@dataclass(frozen=True)
class Request:
    """One that arrived, its body unpacked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorized(self) -> bool:
        scheme, _, given = self.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            return b64decode(given).decode().partition(":")[2] == KEY
        return scheme == "Bearer" and given == KEY


class WandbServer:
    """A server of W&B's that a test starts, looks into and breaks."""

    def __init__(self) -> None:
        self.key = KEY
        self.entity = ENTITY
        self.requests: list[Request] = []
        self.unknown: set[str] = set()  # what a client asked for and this server has not
        self.errors: list[str] = []  # this server's own mistakes
        self.fail: Callable[[Request], int | None] = lambda request: None  # a status instead of the answer, such as 500
        self.lock = threading.RLock()
        self._held = socket.socket()  # what keeps the port while connections are refused
        self._http = self._listen(0)
        self._port = self._http.server_address[1]
        self.store = Store(Account(ENTITY, (ENTITY, TEAM)), lambda place: f"{self.url}/storage/{quote(place)}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "WandbServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._held.close()

    def refuse(self) -> None:
        """Connections are refused, and those that are open are closed, until `accept`."""
        self._close()
        # bound and not listening: another test's server must not get the port and answer in this one's place
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self._port))

    def _close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._http.hang_up()

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._held.close()
        self._http = self._listen(self._port)

    def answer(self, request: Request) -> tuple[int, bytes]:
        """Status and body for a request."""
        with self.lock:
            self.requests.append(request)
            if status := self.fail(request):
                return status, b'{"error": "told to fail"}'
            try:
                return self._answer(request)
            except Exception:
                self.errors.append(traceback.format_exc())
                return 400, json.dumps({"errors": [{"message": traceback.format_exc()}]}).encode()

    def _answer(self, request: Request) -> tuple[int, bytes]:
        path = unquote(request.path)
        if path == "/graphql":
            return self._graphql(request)
        place = path.removeprefix("/storage/")
        if place != path and request.method == "PUT":  # signed addresses, which carry no key
            self.store.put(place, request.body)
            return 200, b""
        if found := BLOB.fullmatch(path):
            place = f"blobs/{found[1]}"
        if request.method == "GET" and place in self.store.files:
            return 200, self.store.files[place]
        if not request.authorized:
            return 401, b'{"error": "user is not logged in"}'
        if found := STREAM.fullmatch(path):
            return 200, json.dumps(self.store.stream(found[1], json.loads(request.body))).encode()
        return 404, b'{"error": "not found"}'

    def _graphql(self, request: Request) -> tuple[int, bytes]:
        answer = Answer(json.loads(request.body), self.unknown.add)
        if not request.authorized:
            return 401, _error(answer.path, "user is not logged in", "PERMISSION_ERROR")
        root = self.store.query() if answer.operation.kind == "query" else self.store.mutation()
        try:
            return 200, json.dumps({"data": answer.of(root)}).encode()
        except NotFoundError as error:
            return 404, _error(answer.path, str(error), "NOT_FOUND_ERROR")

    def _listen(self, port: int) -> "_Http":
        http = _Http(port, self.answer)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return http


def _error(path: str, message: str, code: str) -> bytes:
    """As W&B says it, wandb/wandb#9620 and #2484."""
    error = {"message": message, "path": [path], "extensions": {"code": code}}
    return json.dumps({"errors": [error], "data": {path: None}}).encode()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, answer: Callable[[Request], tuple[int, bytes]]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that is killed hangs up in the middle of a request."""

    def hang_up(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # already closed by the client
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _reply(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, urlparse(self.path).path, headers, self._body(headers))
        status, body = self.server.answer(request)
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if self.path == "/graphql" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _reply  # noqa: N815 - the names of the standard library

    def _body(self, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
