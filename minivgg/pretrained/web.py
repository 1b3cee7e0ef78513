"""An address, opened for reading: https only, and redirected at most five times, never to a host that is not expected."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from ..errors import StorageError

__all__ = ["Web"]

_MOVED = {301, 302, 303, 307, 308}
_HANDLERS = (  # all but those of redirections, which are judged here, and of files and ftp
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


@dataclass(frozen=True)
class Web:
    """What may be opened, and how patiently: addresses of these schemes on these hosts, without a sign for `timeout` seconds at most."""

    hosts: frozenset[str]
    schemes: frozenset[str] = frozenset({"https"})
    redirects: int = 5
    timeout: float = 30.0

    def open(self, address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse | urllib.error.HTTPError:
        """The answer, of whatever status but a redirection; read it as a file, and close it.

        Raises StorageError for an address that is not allowed or too many redirections; OSError or http.client.HTTPException if there is
        no answer.
        """
        opener = urllib.request.OpenerDirector()
        for handler in _HANDLERS:
            opener.add_handler(handler())
        for _ in range(self.redirects + 1):
            self._require_allowed(address)
            request = urllib.request.Request(address, headers={**headers, "Accept-Encoding": "identity", "User-Agent": "minivgg"})
            try:
                answer: http.client.HTTPResponse | urllib.error.HTTPError = opener.open(request, timeout=self.timeout)
            except urllib.error.HTTPError as error:
                answer = error
            if answer.status not in _MOVED:
                return answer
            answer.close()
            location = answer.headers.get("Location", "")
            try:
                address = urljoin(address, location)
            except ValueError:  # to be refused like any other that is not allowed
                address = location
        raise StorageError(f"{address}: was redirected more than {self.redirects} times. Nothing was fetched.")

    def _require_allowed(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            allowed = parts.scheme in self.schemes and parts.hostname in self.hosts and "@" not in parts.netloc
        except ValueError:  # brackets that hold no address
            allowed = False
        if not allowed:
            schemes, hosts = "/".join(sorted(self.schemes)), ", ".join(sorted(self.hosts))
            raise StorageError(f"{address!r} is not opened: only {schemes} is, on {hosts}. Nothing was fetched.")
