"""A small shop: orders in PostgreSQL, uploads in a folder. It runs on the sites, with nothing but Debian's packages.

An order is answered with 201 only after its transaction is committed, an upload only after it is on the disk under its
name: what a customer was promised is what a disaster may be measured by.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

DSN = os.environ.get("SHOP_DSN", "")
UPLOADS = Path(os.environ.get("SHOP_UPLOADS", "/srv/shop/uploads"))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
MAX_BODY = 64 * 1024 * 1024


class Unavailable(Exception):
    """The shop cannot do its work now; the message says why."""


class Connections:
    """Database connections, kept while they work and dropped when they do not."""

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def transaction(self, statement: str, values: tuple[object, ...] = ()) -> Iterator[Any]:
        """A cursor on which the statement was run; committed at the end of the block."""
        import psycopg2  # type: ignore[import-untyped]  # imported late: the shop listens before it needs a database

        connection = None
        try:
            connection, cursor = self._execute(psycopg2, statement, values)
            yield cursor
            connection.commit()
        except psycopg2.errors.UniqueViolation as error:
            raise FileExistsError(str(error)) from error
        except psycopg2.Error as error:
            if connection is not None:
                connection.close()
                connection = None
            raise Unavailable(f"database: {str(error).strip()}") from error
        finally:
            if connection is not None:
                with self._lock:
                    self._idle.append(connection)

    def _execute(self, psycopg2: Any, statement: str, values: tuple[object, ...]) -> tuple[Any, Any]:
        """Run a statement on a kept connection, or on a new one. Nothing is committed yet, so this may be repeated."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            kept = connection is not None
            connection = connection or psycopg2.connect(DSN, connect_timeout=2)
            cursor = connection.cursor()
            try:
                cursor.execute(statement, values)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                connection.close()
                if not kept:
                    raise
            except psycopg2.Error:
                connection.rollback()
                with self._lock:
                    self._idle.append(connection)
                raise
            else:
                return connection, cursor


connections = Connections()


def check_health() -> None:
    """Raise `Unavailable` unless an order and an upload could be taken now."""
    with connections.transaction("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')") as cursor:
        in_recovery, read_only = cursor.fetchone()
    if in_recovery:
        raise Unavailable("database: in recovery, read only")
    if read_only == "on":
        raise Unavailable("database: read only")
    if not (UPLOADS.is_dir() and os.access(UPLOADS, os.W_OK | os.X_OK)):
        raise Unavailable(f"uploads: {UPLOADS} is not writable")


def place_order(order: dict[str, object]) -> dict[str, object]:
    """Take one order; its row is committed when this returns."""
    key = order.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError("an order needs a key")
    insert = "INSERT INTO orders (key, item, quantity) VALUES (%s, %s, %s) RETURNING id"
    values = (key, str(order.get("item", "coffee")), int(str(order.get("quantity", 1))))
    with connections.transaction(insert, values) as cursor:
        (number,) = cursor.fetchone()
    return {"id": number, "key": key}


def orders_after(number: int) -> list[str]:
    """The keys of all orders with a higher number, oldest first."""
    with connections.transaction("SELECT key FROM orders WHERE id > %s ORDER BY id", (number,)) as cursor:
        return [key for (key,) in cursor.fetchall()]


def upload_path(name: str) -> Path:
    """Where an upload is kept."""
    if not NAME.fullmatch(name):
        raise ValueError(f"bad name {name!r}")
    return UPLOADS / name


def store_upload(name: str, body: bytes) -> dict[str, object]:
    """Keep an upload: written aside, synced, and only then given its name."""
    target = upload_path(name)
    aside = UPLOADS / f".{name}.{threading.get_ident()}"
    try:
        with aside.open("wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(target)
        directory = os.open(UPLOADS, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise Unavailable(f"uploads: {error}") from error
    return described(target)


def described(path: Path) -> dict[str, object]:
    """An upload's name, size and checksum."""
    content = path.read_bytes()
    return {"name": path.name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def uploads() -> list[dict[str, object]]:
    """All uploads, by name."""
    try:
        return [described(path) for path in sorted(UPLOADS.iterdir()) if NAME.fullmatch(path.name)]
    except OSError as error:
        raise Unavailable(f"uploads: {error}") from error


class Handler(BaseHTTPRequestHandler):
    """The shop's HTTP face."""

    protocol_version = "HTTP/1.1"
    server_version = "shop"
    timeout = 30

    def do_GET(self) -> None:
        """Look at something."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Place an order."""
        self._answer(self._post)

    def do_PUT(self) -> None:
        """Upload a file."""
        self._answer(self._put)

    def _get(self) -> tuple[int, object]:
        url = urlsplit(self.path)
        if url.path == "/health":
            check_health()
            return 200, {"status": "ok", "site": socket.gethostname()}
        if url.path == "/orders":
            return 200, orders_after(int(parse_qs(url.query).get("after", ["0"])[0]))
        if url.path == "/uploads":
            return 200, uploads()
        if url.path.startswith("/uploads/"):
            return 200, upload_path(unquote(url.path.removeprefix("/uploads/"))).read_bytes()
        if url.path == "/":
            return 200, f"<!doctype html><title>Shop</title><h1>Shop</h1><p>Served from {socket.gethostname()}.</p>\n"
        return 404, {"error": "no such page"}

    def _post(self) -> tuple[int, object]:
        body = self._body()
        if urlsplit(self.path).path != "/orders":
            return 404, {"error": "no such page"}
        order = json.loads(body)
        if not isinstance(order, dict):
            raise ValueError("an order is an object")
        return 201, place_order(order)

    def _put(self) -> tuple[int, object]:
        body = self._body()
        path = urlsplit(self.path).path
        if not path.startswith("/uploads/"):
            return 404, {"error": "no such page"}
        return 201, store_upload(unquote(path.removeprefix("/uploads/")), body)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            raise ValueError("too large")
        return self.rfile.read(length)

    def _answer(self, act: Any) -> None:
        try:
            status, content = act()
        except Unavailable as error:
            status, content = 503, {"status": "unavailable", "reason": str(error), "site": socket.gethostname()}
        except FileExistsError as error:
            status, content = 409, {"error": str(error)}
        except FileNotFoundError:
            status, content = 404, {"error": "no such upload"}
        except ValueError as error:
            status, content = 400, {"error": str(error)}
        self._send(status, content)

    def _send(self, status: int, content: object) -> None:
        if isinstance(content, bytes):
            kind, body = "application/octet-stream", content
        elif isinstance(content, str):
            kind, body = "text/html; charset=utf-8", content.encode()
        else:
            kind, body = "application/json", json.dumps(content).encode() + b"\n"
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay quiet: the database and the folder are the record."""


class Shop(ThreadingHTTPServer):
    """Many customers at once; a restart does not wait for old sockets."""

    daemon_threads = True
    request_queue_size = 256

    def server_bind(self) -> None:
        """Bind without asking the resolver for our own name, as the base class would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "shop", self.server_address[1]


def tell_ready() -> None:
    """Tell systemd that we listen, so that `systemctl start` returns no earlier."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def main() -> None:
    """Serve until told to stop."""
    with Shop(("0.0.0.0", int(os.environ.get("SHOP_PORT", "8000"))), Handler) as server:
        tell_ready()
        server.serve_forever(poll_interval=3600)


if __name__ == "__main__":
    main()
