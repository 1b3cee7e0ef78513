"""`Workers`: processes that are started when first needed, asked by threads, and ended with the loader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from queue import SimpleQueue

from ...backend.arrays import Array
from ...backend.layout import as_nchw
from ...errors import DataError, MinivggError, OutOfMemoryError
from ..folder import ImageFolder
from ..preparing import Preparation
from ..transforms import Compose, Transform
from .frames import error_from_json, receive, send

__all__ = ["Workers", "portable"]

# The search path first: the worker finds what this process would. Signals meant for the run are the run's to answer, so that
# it can save and end its workers.
_START = (
    "import sys, signal; sys.path[:] = sys.argv[1:]; "
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "from minivgg.data.workers.process import serve; serve()"
)
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MINIVGG_THREADS"), "1")
# glibc is to keep freed memory for the next batch: giving it back and taking it anew costs 250 page faults a photograph, 1 to 4 ms
# on a virtual machine. A worker then keeps its peak, which is bounded by its batch.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
_PATIENCE = 5.0  # seconds that a worker has to end by itself


def portable(transform: Transform) -> bool:
    """Whether a worker can make `transform` from its JSON: whether it consists of minivgg's own transforms."""
    steps = transform.steps if isinstance(transform, Compose) else (transform,)
    home = Transform.__module__.rpartition(".")[0]
    return all(type(step).__module__.startswith(home) for step in steps)


class Workers:
    """Up to `count` processes that prepare batches of `images`.

    They live until `close`, the end of this object or of the interpreter, and end by themselves when this process is killed. In a fork
    of this process they are of no use: `pid` tells whose they are.
    """

    def __init__(self, count: int, images: ImageFolder, preparation: Preparation) -> None:
        self.pid = os.getpid()
        self._images = images
        self._loader = {
            "root": str(images.root),
            "name": preparation.name,
            "channels": images.channels,
            "transform": preparation.transform.to_json(),
            "seed": preparation.seed,
            "training": preparation.training,
        }
        self._free: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()  # None: a process that is yet to be started
        for _ in range(count):
            self._free.put(None)
        self._started: list[subprocess.Popen[bytes]] = []
        self.close = weakref.finalize(self, _end, self._started, self.pid)

    def ask(self, epoch: int, indices: Array) -> Array:
        """The samples at `indices`, prepared for `epoch`: float32 (B, C, H, W), stored channels-last; waits for a free worker.

        Raises what the preparation raised, with its notes; OutOfMemoryError or DataError, with the files in hand, if the worker died.
        """
        paths = [self._images.paths[index] for index in indices]
        worker = self._free.get()
        request = {"epoch": epoch, "indices": indices.tolist(), "paths": paths}
        try:
            if worker is None:
                worker = self._start()
                request |= {"loader": self._loader}
            send(worker.stdin, request)  # type: ignore[arg-type]
            message, array = receive(worker.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            assert worker is not None
            self._started.remove(worker)
            _end([worker], self.pid)
            error, worker = self._death(worker.returncode, paths), None
            raise error from None
        finally:
            self._free.put(worker)
        if array is None:
            raise error_from_json(message)
        return as_nchw(array)

    def _start(self) -> subprocess.Popen[bytes]:
        path = [str(Path(place).absolute()) for place in sys.path]
        try:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **_ONE_THREAD, **_KEEP_MEMORY},
                process_group=0,  # a terminal's Ctrl-C is not for the workers
            )
        except OSError as error:
            raise OutOfMemoryError(f"no worker process could be started: {error.strerror}. Use fewer workers; 0 need no process.") from None
        self._started.append(worker)
        return worker

    def _death(self, code: int, paths: list[str]) -> MinivggError:
        """What to say of a worker that ended with `code`, negative for a signal, with these files in hand."""
        files = f"{', '.join(paths)} in {self._images.root}"
        if code == -signal.SIGKILL:
            return OutOfMemoryError(
                f"a worker process was killed, as a system does when memory is short, while it read {files}. "
                "Use fewer workers, smaller batches or smaller images."
            )
        if code < 0:
            name = signal.Signals(-code).name
            return DataError(f"a worker process died of {name} while it read {files}. One of them brings the decoder down: remove it.")
        return MinivggError(
            f"a worker process ended with exit status {code} while it read {files}; what it said is above. 0 workers do without processes."
        )


def _end(workers: list[subprocess.Popen[bytes]], pid: int) -> None:
    """Close the pipes, so that the workers end, and wait until they have; not in a fork, which has them not for children."""
    if os.getpid() != pid:
        return
    for worker in workers:
        worker.stdin.close()  # type: ignore[union-attr]
        worker.stdout.close()  # type: ignore[union-attr]
    for worker in workers:
        try:
            worker.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
