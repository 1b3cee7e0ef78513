"""A web server on this machine that serves one file, as badly as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Served", "serving"]


@dataclass
class Served:
    """The file, and how it is served; tests change it between requests. `asked` are the Range headers, "" where there was none.

    cuts       bytes after which the connection is cut, one for each answer in turn; then none
    statuses   statuses to answer in place of the file, in turn
    ranges     whether parts are given
    locations  where the paths lead
    extra      bytes sent beyond the file, in chunks, without a length
    """

    content: bytes
    etag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    locations: dict[str, str] = field(default_factory=dict)
    extra: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        if handler.path in self.locations:
            return self.head(handler, 302, {"Location": self.locations[handler.path], "Content-Length": "0"})
        wanted = handler.headers.get("Range", "")
        self.asked.append(wanted)
        if self.statuses:
            return self.head(handler, self.statuses.pop(0), {"Content-Length": "0"})
        first, size = 0, len(self.content)
        if wanted and self.ranges and handler.headers.get("If-Range") == self.etag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if self.extra:
            self.head(handler, 200, {"Connection": "close"})
            handler.wfile.write(self.content + bytes(self.extra))
            return None
        about = {"Content-Length": str(size - first), "ETag": self.etag}
        if first:
            about["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self.head(handler, 206 if first else 200, about)
        end = self.cuts.pop(0) if self.cuts else size
        handler.wfile.write(self.content[first : first + end])
        if end < size - first:
            handler.close_connection = True
        return None

    def head(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        """Send the status and the headers, those of the test last."""
        handler.send_response(status)
        for name, value in {**headers, **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()


@contextmanager
def serving(served: Served) -> Iterator[str]:
    """The address of a folder in which every name is the file, while the server runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.serve(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        served.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield served.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
