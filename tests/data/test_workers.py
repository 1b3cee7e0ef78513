"""Worker processes: the bits of the inline loader, its errors, and nothing left behind whatever happens."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minivgg import errors
from minivgg.data import Compose, Crop, Draws, ImageFolder, Loader, Mirror, Normalise, Rescale, Transform, parts, statistics
from minivgg.data.workers import Workers, frames, portable

PACKAGE = Path(errors.__file__).parent.parent
AUGMENT = Compose((Rescale(16, 24), Crop(12), Mirror(), Normalise((0.5,) * 3, (0.25,) * 3)))


def save_images(root: Path, count: int = 14) -> Path:
    """Images of several sizes in two classes."""
    rng = np.random.default_rng(0)
    for k in range(count):
        folder = root / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + k, 30, 3), dtype=np.uint8)).save(folder / f"{k:02}.png")
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images, for all tests that don't change it."""
    return save_images(tmp_path_factory.mktemp("photos"))


def loader(root, **changes):
    """Batches of four from a folder."""
    settings = {"dataset": parts(root).train, "batch_size": 4, "transform": AUGMENT, "seed": 3, "prefetch": 2, **changes}
    return Loader(**settings)


@pytest.fixture(scope="module")
def single(photos):
    """A loader with one process, for all tests that let it go on."""
    return loader(photos, workers=1)


def content(batches):
    """The batches as bytes."""
    return [tuple(part.tobytes() for part in batch) for batch in batches]


def processes(of: Loader):
    """The loader's processes that were started."""
    return [] if of._processes is None else list(of._processes._started)


def living(pids):
    """Those of the process ids that still run. An orphan that ended may wait for ever for an init that doesn't look: that is no life."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            found += [pid] * (state not in "ZX")
    return found


def wait_for_end(pids):
    """Wait until none of the processes is there, for a minute at most."""
    deadline = time.monotonic() + 60
    while living(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not living(pids)


def test_number_of_processes_changes_no_bit(photos, single):
    """Of 1 and 2, two epochs, and the second again from its middle, are the inline loader's; the processes are those of the first
    epoch."""
    plain = loader(photos, workers=0)
    for busy in (single, loader(photos, workers=2)):
        assert busy is single or not processes(busy)  # before a batch is asked for
        assert content(busy.epoch(0)) == content(plain.epoch(0))
        first = processes(busy)
        assert 1 <= len(first) <= busy.workers
        assert content(busy.epoch(1)) == content(plain.epoch(1))
        assert content(busy.epoch(1, 2)) == content(plain.epoch(1))[2:]
        assert set(first) <= set(processes(busy)) and len(processes(busy)) <= busy.workers
    assert not processes(plain)


def test_batches_belong_to_the_caller(single):
    """Float32, stored channels-last, writable; a batch that is kept is not overwritten by the next."""
    batches = list(single.epoch(0))
    assert [batch.images.shape for batch in batches] == [(4, 3, 12, 12)] * 3 + [(2, 3, 12, 12)]
    for batch in batches:
        assert batch.images.dtype == np.float32 and batch.images.transpose(0, 2, 3, 1).flags.c_contiguous
        expected = AUGMENT(single.dataset.read(batch.indices), Draws(3, 0, batch.indices))
        assert np.array_equal(batch.images, expected.transpose(0, 3, 1, 2))
        batch.images[...] = 0


def test_few_files_are_decoded_at_once(photos, monkeypatch):
    """A batch of 14 large images would not fit: eight are read and transformed, then the rest, to the bits of all at once; colours are
    counted one image after the other."""
    images, seen, honest = parts(photos).train, [], ImageFolder.read
    expected = AUGMENT(images.read(np.arange(14)), Draws(3, 0, np.arange(14))).transpose(0, 3, 1, 2)
    monkeypatch.setattr(ImageFolder, "read", lambda self, indices, least=None: seen.append(len(indices)) or honest(self, indices, least))
    (batch,) = loader(photos, batch_size=14, workers=0, shuffle=False).epoch(0)
    assert np.array_equal(batch.images, expected) and seen == [8, 6, 8, 6]  # the first two for a look at the range
    statistics(images)
    assert seen[4:] == [1] * 14


def test_the_loaders_end_ends_its_processes(photos):
    """Leaving an epoch early keeps them for the next one; dropping the loader ends and reaps them."""
    busy = loader(photos, workers=2)
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error):
            for _ in busy.epoch(0):
                raise error
    pids = [process.pid for process in processes(busy)]
    assert living(pids) == pids != []
    assert len(content(busy.epoch(1))) == 4
    assert [process.pid for process in processes(busy)][: len(pids)] == pids
    ended = processes(busy)
    del busy
    assert ended and all(process.returncode is not None for process in ended)  # reaped


def test_an_error_is_the_inline_loaders(tmp_path):
    """Class and text are equal with 0 workers and 1 for a file that is no image, which its path alone names; the batches before it come;
    and the processes live on."""
    bad = save_images(tmp_path) / "a" / "10.png"
    loaders = [loader(tmp_path, workers=workers, shuffle=False) for workers in (0, 1)]
    bad.write_bytes(b"<html>not an image</html>")
    told = []
    for each in loaders:
        seen = []
        with pytest.raises(errors.DataError, match=str(bad)) as caught:
            for batch in each.epoch(0):
                seen.append(batch.indices[0])
        told.append((type(caught.value), str(caught.value), getattr(caught.value, "__notes__", []), seen))
    assert told[0] == told[1] and told[0][2:] == ([], [0])
    assert all(process.poll() is None for process in processes(loaders[1]))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_transformed_is_named(tmp_path, workers):
    """One that is sound as a file, but too long and thin to be rescaled: one line that begins with its path."""
    bad = save_images(tmp_path) / "a" / "10.png"
    strips = loader(tmp_path, workers=workers, transform=Compose((Rescale(200, 200), Crop(12), Normalise((0.5,) * 3, (0.25,) * 3))))
    Image.new("RGB", (2000, 1)).save(bad)
    with pytest.raises(errors.DataError) as caught:
        list(strips.epoch(0))
    assert str(caught.value).startswith(f"{bad}: an image of 1×2000, rescaled") and not getattr(caught.value, "__notes__", [])
    with pytest.raises(errors.DataError, match=str(bad)):
        strips._probe()


def test_a_dead_worker_names_its_files(single):
    """Killed as for memory, or by a fault in a decoder: one error with the files in hand and an exit code; the next epoch has a new one."""
    before = content(single.epoch(0))
    files = re.escape(", ".join(single.dataset.paths[index] for index in np.frombuffer(before[0][2], np.int64)))
    for sent, kind, code, said in [
        (signal.SIGKILL, errors.OutOfMemoryError, 6, "was killed"),
        (signal.SIGSEGV, errors.DataError, 3, "died of SIGSEGV"),
    ]:
        (process,) = processes(single)
        os.kill(process.pid, sent)
        process.wait()
        with pytest.raises(kind, match=f"{files} in .*photos") as caught:
            next(single.epoch(0))
        assert caught.value.exit_code == code and said in str(caught.value) and "\n" not in str(caught.value)
        assert content(single.epoch(0)) == before


SCRIPT = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    sys.path.insert(0, {package!r})
    from minivgg.data import Compose, Crop, Loader, Normalise, Rescale, parts
    transform = Compose((Rescale(16, 24), Crop(12), Normalise((.5,) * 3, (.25,) * 3)))
    loader = Loader(parts({photos!r}).train, 4, transform, workers={workers})
    for batch in loader.epoch(0):
        print(*(process.pid for process in loader._processes._started), flush=True)
        {then}
    print("done", flush=True)
"""


def script(photos, then: str, workers: int) -> str:
    """A user's program, without a guard for processes that import it."""
    return textwrap.dedent(SCRIPT).format(package=str(PACKAGE), photos=str(photos), then=then, workers=workers)


def test_an_unguarded_script_works_from_any_folder(photos, tmp_path):
    """A script without `if __name__ == "__main__"`, beside a file that would hide a module, which finds minivgg by its own search
    path: it runs once, and leaves neither words nor processes behind."""
    (tmp_path / "script.py").write_text(script(photos, "pass", 1))
    (tmp_path / "signal.py").write_text("")
    done = subprocess.run([sys.executable, "-P", "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")
    assert lines[-2:] == ["done", ""] and len(lines) == 6 and done.stderr == ""
    wait_for_end(map(int, " ".join(lines[:4]).split()))


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_program_that_ends_leaves_no_process(photos, sent):
    """Killed, or interrupted in the middle of an epoch, from `python -c`: its workers end by themselves and say nothing."""
    program = subprocess.Popen([sys.executable, "-c", script(photos, "time.sleep(60)", 1)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = [int(word) for word in program.stdout.readline().split()]
    assert living(pids) == pids != []
    program.send_signal(sent)
    said = program.communicate()[1].decode()
    assert said.count("Traceback") == (sent == signal.SIGINT) and ("KeyboardInterrupt" in said) == (sent == signal.SIGINT)
    wait_for_end(pids)


def test_workers_leave_signals_to_the_run(single):
    """SIGINT and SIGTERM to all processes of a group, as a terminal or a batch system sends them, end no worker."""
    before, working = content(single.epoch(0)), processes(single)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(working[0].pid, number)
        assert content(single.epoch(0)) == before
    assert processes(single) == working and len(working) == 1


@dataclass(frozen=True)
class Own(Transform):
    """A transform that only this file knows."""

    kind = "own"

    def apply(self, images, draws):
        return images / np.float32(255)


def test_a_transform_of_the_callers_own_stays_in_threads(photos):
    """No process would know it: a warning, the same bits, no process."""
    transform = Compose((Rescale(16, 16), Crop(12), Own()))
    with pytest.warns(UserWarning, match="threads apply it"):
        busy = loader(photos, transform=transform, workers=2)
    assert content(busy.epoch(0)) == content(loader(photos, transform=transform, workers=0).epoch(0))
    assert not processes(busy)
    assert portable(AUGMENT) and not portable(Own())


class OddError(Exception):
    """An exception that only this file knows."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (errors.ShapeError("a\n\udcff→b"), errors.ShapeError, "a\n\udcff→b"),
        (MemoryError("no more"), MemoryError, "no more"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), RuntimeError, "UnicodeDecodeError: 'utf-8' codec can't decode"),
        (OddError("strange"), RuntimeError, "OddError: strange"),
    ],
)
def test_errors_cross_a_pipe(tmp_path, error, kind, text):
    """minivgg's own and Python's keep class and text, others are named; notes come along, and a bug brings its traceback."""
    error.add_note("while testing")
    with (tmp_path / "pipe").open("w+b", 0) as pipe:
        frames.send(pipe, frames.error_to_json(error))
        pipe.seek(0)
        message, array = frames.receive(pipe)
        with pytest.raises(EOFError):
            frames.receive(pipe)
    back = frames.error_from_json(message)
    assert array is None and type(back) is kind and str(back).startswith(text) and back.__notes__[0] == "while testing"
    assert len(back.__notes__) == (1 if kind is errors.ShapeError else 2)


def test_no_process_to_be_had_is_told(photos, monkeypatch):
    """The system's limit on processes is an error of one line."""

    def refuse(*arguments, **keywords):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(errors.OutOfMemoryError, match="no worker process could be started: Resource temporarily unavailable"):
        next(loader(photos, workers=1).epoch(0))


def test_a_worker_imports_little():
    """What a worker imports to be ready: no kernels, no models, no CuPy, no rich, no SciPy."""
    code = "import sys, minivgg.data.workers.process; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE, capture_output=True, text=True, check=True)
    unwanted = {"minivgg.fast", "minivgg.ops", "minivgg.models", "cupy", "rich", "click", "scipy", "safetensors", "multiprocessing"}
    assert not unwanted & set(done.stdout.split())


def test_workers_of_another_process_are_left_alone(photos, single):
    """In a fork of the process a loader starts workers of its own, and ends nobody else's."""
    content(single.epoch(0))
    theirs = single._processes
    assert isinstance(theirs, Workers)
    theirs.pid = -1
    assert content(single.epoch(0)) == content(loader(photos, workers=0).epoch(0))
    assert single._processes is not theirs and all(process.poll() is None for process in theirs._started)
    theirs.close()
