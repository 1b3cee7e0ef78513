"""Files from the web: whole and right, or not there at all, whatever connection, server and disk do."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minivgg.errors import CheckpointError, StorageError
from minivgg.pretrained import fetching
from minivgg.pretrained.fetching import fetch, is_right
from minivgg.pretrained.published import PUBLISHED, Published, located
from minivgg.pretrained.web import Web

from .flaky_server import Served, serving

CONTENT = np.random.default_rng(0).bytes(700_000)
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]
WEB = Web(frozenset({"127.0.0.1"}), frozenset({"http"}), timeout=5)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server of CONTENT."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Served(CONTENT)
    with serving(found):
        yield found


class Caller:
    """Calls `fetch`, and remembers what it said and how long it waited."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.entry = Published("net", f"{served.address}/net-{DIGITS}.pth", DIGITS)
        self.folder, self.said, self.waited, self.seen = folder, [], [], []

    def __call__(self, **options: Any) -> Path:
        report = {"say": self.said.append, "wait": self.waited.append, "progress": lambda *numbers: self.seen.append(numbers)}
        return fetch(self.entry, self.folder, **{"web": WEB, **report, **options})

    @property
    def part(self) -> Path:
        return self.folder / f"{self.entry.file}.part"

    def files(self) -> list[str]:
        return sorted(path.name.replace(self.entry.file, "FILE") for path in self.folder.iterdir())


@pytest.fixture
def call(served: Served, tmp_path: Path) -> Caller:
    """A caller into a folder that is not there yet."""
    return Caller(served, tmp_path / "cache" / "weights")


def test_a_file_is_fetched_once(served: Served, call: Caller) -> None:
    """The bytes, under the name in the address, nothing else left; progress ends at the whole; a second call asks nothing."""
    path = call()
    assert path.read_bytes() == CONTENT and call.files() == ["FILE"]
    assert call.seen[0] == (0, len(CONTENT)) and call.seen[-1] == (len(CONTENT), len(CONTENT))
    assert call() == path and len(served.asked) == 1 and "here already" in call.said[-1]


def test_cut_connections_are_gone_on_with(served: Served, call: Caller) -> None:
    """Cut after 1, 70,000 and 300,000 more bytes: each further request asks for what is missing only."""
    served.cuts = [1, 70_000, 300_000]
    assert call().read_bytes() == CONTENT and call.files() == ["FILE"]
    assert served.asked == ["", "bytes=1-", "bytes=70001-", "bytes=370001-"] and call.waited == [1, 2, 4]


def test_six_failures_are_an_error_and_the_next_call_goes_on(served: Served, call: Caller) -> None:
    """Five further tries, then StorageError with address, folder, name and digits for doing it by hand; what came is kept and used."""
    served.cuts = [1000] * 6
    with pytest.raises(StorageError, match=rf"{call.entry.address}.*put it into {call.folder} as {call.entry.file}.*{DIGITS}"):
        call()
    assert call.files() == ["FILE.part", "FILE.part.json"] and len(served.asked) == 6
    assert call().read_bytes() == CONTENT and served.asked[6] == "bytes=6000-"


def test_without_ranges_it_begins_anew(served: Served, call: Caller) -> None:
    """200 in answer to a range: the file is the server's, not the old piece with the whole behind it."""
    served.cuts, served.ranges = [1000, 2000], False
    assert call().read_bytes() == CONTENT and served.asked == ["", "bytes=1000-", "bytes=2000-"]


@pytest.mark.parametrize("change", ["file", "about", "etag", "no about", "weak", "longer"])
def test_a_part_of_another_file_is_not_gone_on_with(served: Served, call: Caller, change: str) -> None:
    """Another ETag now, no strong one ever, notes that are damaged or gone, more bytes than the whole: never a mixture of two files."""
    served.etag = 'W/"weak"' if change == "weak" else '"one"'
    served.cuts = [5000] * 6
    with pytest.raises(StorageError):
        call()
    notes = call.part.with_name(f"{call.part.name}.json")
    if change == "etag":
        served.etag = '"two"'
    elif change == "about":
        notes.write_text("[]")
    elif change == "no about":
        notes.unlink()
    elif change == "file":
        call.part.write_bytes(b"x" * 5000)  # the ETag cannot tell: the SHA-256 does
        with pytest.raises(CheckpointError, match=f"another SHA-256 than {DIGITS}"):
            call()
        assert call.files() == []
    elif change == "longer":
        call.part.write_bytes(bytes(len(CONTENT) + 1))
    asked = len(served.asked)
    assert call().read_bytes() == CONTENT
    assert served.asked[asked:] == ["bytes=30000-" if change == "etag" else ""]


def test_a_wrong_answer_to_a_range_begins_anew(served: Served, call: Caller) -> None:
    """416, and a 206 of other bytes than asked for: what was begun is dropped, and the next try fetches the whole."""
    for status, headers in ((416, {}), (206, {"Content-Range": f"bytes 0-9/{len(CONTENT)}"})):
        shutil.rmtree(call.folder, ignore_errors=True)
        served.cuts, served.asked = [1000], []
        original = served.serve

        def serve(handler: Any, status: int = status, headers: dict[str, str] = headers, original: Any = original) -> None:
            if handler.headers.get("Range"):
                served.asked.append("wrong")
                served.head(handler, status, {"Content-Length": "0", **headers})
            else:
                original(handler)

        served.serve = serve  # type: ignore[method-assign]
        assert call().read_bytes() == CONTENT and served.asked == ["", "wrong", ""]
        served.serve = original  # type: ignore[method-assign]


def test_a_wrong_sha256_leaves_nothing(served: Served, call: Caller) -> None:
    """One bit is wrong: CheckpointError, and neither file nor part is there."""
    served.content = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with pytest.raises(CheckpointError, match=rf"^{call.folder}.*another SHA-256"):
        call()
    assert call.files() == []


def test_a_damaged_file_is_replaced_only_by_a_right_one(served: Served, call: Caller) -> None:
    """It is said and fetched anew; while that fails, the old file stays as it was."""
    target = call.folder / call.entry.file
    call.folder.mkdir(parents=True)
    target.write_bytes(b"old")
    served.statuses = [404]
    with pytest.raises(StorageError, match="404"):
        call()
    assert target.read_bytes() == b"old" and "is damaged" in call.said[0]
    call()
    assert is_right(target, call.entry) and call.files() == ["FILE"]


def test_answers_without_the_file(served: Served, call: Caller) -> None:
    """404 and 403 are errors at once; 500, 503 and 429 are tried again."""
    for status in (404, 403):
        served.statuses, served.asked = [status], []
        with pytest.raises(StorageError, match=str(status)):
            call()
        assert len(served.asked) == 1 and call.files() == []
    served.statuses, served.asked = [500, 503, 429], []
    assert call().read_bytes() == CONTENT and len(served.asked) == 4


def test_redirections_end_and_stay_on_https_and_the_hosts(served: Served, call: Caller) -> None:
    """Within the host they are followed; a loop, another scheme, another host and a password in the address end it; nothing is fetched."""
    path = f"/{call.entry.file}"
    for location, reason in {
        path: "redirected more than 5 times",
        "https://127.0.0.1/x": "only http is",
        "file:///etc/passwd": "only http is",
        f"http://localhost:{served.address.rpartition(':')[2]}/x": "on 127.0.0.1",
        "http://user:word@127.0.0.1/x": "is not opened",
        "http://[bad/x": "is not opened",
    }.items():
        served.locations = {path: location}
        with pytest.raises(StorageError, match=reason):
            call()
    assert served.asked == [] and call.files() == []
    served.locations = {path: "/a", "/a": served.address + "/b"}
    assert call().read_bytes() == CONTENT


def test_only_https_and_the_known_hosts_are_opened_by_default(served: Served, call: Caller) -> None:
    """The table's addresses are such; the test's server is none."""
    with pytest.raises(StorageError, match=r"only https is, on download\.pytorch\.org"):
        call(web=None)
    for name, entry in PUBLISHED.items():
        assert re.fullmatch(rf"https://download\.pytorch\.org/models/{name}-{entry.digits}\.pth", entry.address)
        assert re.fullmatch("[0-9a-f]{8}", entry.digits)
    assert len(PUBLISHED) == 8


def test_too_long_a_file_is_stopped(served: Served, call: Caller) -> None:
    """One that announces more than the limit, one that sends more without a word: an error, and nothing is kept."""
    with pytest.raises(StorageError, match="the limit is 1,000"):
        call(most=1000)
    served.extra = 400_000
    with pytest.raises(StorageError, match="sends more than 800,000 bytes"):
        call(most=800_000)
    assert call.files() == []


def test_an_encoded_answer_is_refused(served: Served, call: Caller) -> None:
    """Compressed contents were not asked for."""
    served.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(StorageError, match="encoded"):
        call()


def test_a_full_disk_is_told_before_or_in_the_middle(served: Served, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room: said before a byte is written. ENOSPC after 300,000 bytes: what is there stays, and is gone on with."""
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(StorageError, match=r"700,000 bytes are needed, 10,000 are free\. Free some space"):
        call()
    assert call.files() == []
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def full(here: int, total: int | None) -> None:
        if here > 300_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="Free some space; the same command then goes on"):
        call(progress=full)
    kept = call.part.stat().st_size
    assert kept > 300_000
    assert call().read_bytes() == CONTENT and served.asked[-1] == f"bytes={kept}-"


def test_ctrl_c_keeps_the_part(served: Served, call: Caller) -> None:
    """KeyboardInterrupt goes through; the next call asks for the rest."""

    def stop(here: int, total: int | None) -> None:
        if here > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(progress=stop)
    assert call().read_bytes() == CONTENT and served.asked[-1].startswith("bytes=")


def test_no_server_is_an_error_with_the_way_around(served: Served, call: Caller) -> None:
    """A port on which nobody listens: the connection's error, and what to do by hand."""
    call.entry = Published("net", f"http://127.0.0.1:1/net-{DIGITS}.pth", DIGITS)
    with pytest.raises(StorageError, match=r"cannot be fetched .no connection: .*refused.*put it into"):
        call()
    assert len(call.waited) == 5


def test_two_at_once_both_have_the_file(served: Served, call: Caller) -> None:
    """Of two threads and another process, one fetches and the others wait: one request, and the right file for all."""
    script = (
        "import sys; from pathlib import Path\n"
        "from minivgg.pretrained.fetching import fetch; from minivgg.pretrained.published import Published\n"
        "from minivgg.pretrained.web import Web\n"
        "web = Web(frozenset({'127.0.0.1'}), frozenset({'http'}))\n"
        "print(fetch(Published('net', sys.argv[1], sys.argv[2]), Path(sys.argv[3]), web=web))\n"
    )
    threads = [threading.Thread(target=call) for _ in range(2)]
    other = subprocess.Popen([sys.executable, "-c", script, call.entry.address, DIGITS, str(call.folder)], stdout=subprocess.PIPE)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.communicate()[0].decode().strip() == str(call.folder / call.entry.file)
    assert is_right(call.folder / call.entry.file, call.entry) and call.files() == ["FILE"]
    if os.name != "nt":
        assert served.asked == [""]


def test_a_name_means_the_fetched_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vgg16 is the cached file; a file of that name goes before; not fetched, the message has the command; other paths stay."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^vgg16: is not here; `minivgg pull vgg16` fetches it"):
        located("vgg16")
    (tmp_path / "minivgg").mkdir()
    (tmp_path / "minivgg" / "vgg16-397923af.pth").write_bytes(b"")
    assert located("vgg16") == tmp_path / "minivgg" / "vgg16-397923af.pth"
    (tmp_path / "vgg16").write_bytes(b"")
    assert located("vgg16") == Path("vgg16") and located("a/b.pth") == Path("a/b.pth")
