"""Kernels on threads: the same bits on any number of them, errors that arrive, and a BLAS left as it was."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import minivgg as mv
from minivgg import ops
from minivgg.backend import threads
from minivgg.backend.threads import run, split
from minivgg.errors import ConfigError
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.fast.cpu.choice import ALGORITHMS, choose
from minivgg.fast.problem import Problem

from .large import CALLS, bits, outcome, training

ROOT = Path(__file__).parents[2]
NUMBERS = ("1", "2", "3", "5")


def on_each_number(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], str]) -> set[str]:
    """What `compute` gives on 1, 2, 3 and 5 threads; the number is read at each run."""
    found = set()
    for number in NUMBERS:
        monkeypatch.setenv("MINIVGG_THREADS", number)
        found.add(compute())
    return found


def blas_threads() -> list[int]:
    """How many threads each BLAS in this process uses."""
    return [info["num_threads"] for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]


def in_a_process(script: str, **environment: str) -> str:
    """What a Python script prints in a process of its own."""
    command = [sys.executable, *([script] if script.endswith(".py") else ["-c", script])]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_kernel_has_large_calls() -> None:
    """The tests below leave no kernel out, and no algorithm."""
    assert {key[0] for key in overlay.table if key[2] == "numpy"} == set(CALLS)
    problems = [Problem(x.shape[0], x.shape[2:], x.shape[1], w.shape[0], op.windows(w.shape[2:])) for op, (x, w, _) in CALLS[ops.Conv2d]()]
    assert {choose(problem, np.float32) for problem in problems} == set(ALGORITHMS)


@pytest.mark.parametrize("op", CALLS, ids=lambda op: op.__name__)
def test_a_kernel_gives_the_same_bits_on_any_number_of_threads(op: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Result and gradients, bit by bit, of calls whose work is really shared out."""
    shared: list[int] = []
    together = threads._together

    def counted(job: Any, helpers: int) -> Any:
        shared.append(helpers)
        return together(job, helpers)

    monkeypatch.setattr(threads, "_together", counted)
    for call in CALLS[op]():
        shared.clear()
        assert len(on_each_number(monkeypatch, lambda call=call: bits(outcome(call)))) == 1  # type: ignore[misc]
        assert set(shared) >= {1, 2}


def test_training_gives_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses, parameters and running statistics of three steps of a network."""
    assert len(on_each_number(monkeypatch, lambda: bits(training()))) == 1


def test_the_threads_of_blas_change_nothing() -> None:
    """A process in which BLAS may use one thread and one in which it may use two compute the same bits."""
    script = str(ROOT / "tests" / "fast" / "large.py")
    one, two = (in_a_process(script, OPENBLAS_NUM_THREADS=n, MINIVGG_THREADS="2") for n in "12")
    assert len(one.split()) == 2 and one == two


def test_results_come_in_the_order_of_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever computed them; of no parts, none."""
    monkeypatch.setenv("MINIVGG_THREADS", "3")
    assert run(lambda i: i * i, range(100)) == [i * i for i in range(100)]
    assert run(lambda i: i * i, []) == []


def test_a_part_may_run_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed on the spot, in the part's own thread, and a part that does so is not waited for in vain."""
    monkeypatch.setenv("MINIVGG_THREADS", "2")

    def outer(i: int) -> tuple[set[int], list[int]]:
        inner = run(lambda j: (threading.get_ident(), 10 * i + j), range(4))
        return {thread for thread, _ in inner} | {threading.get_ident()}, [value for _, value in inner]

    for i, (idents, values) in enumerate(run(outer, range(6))):
        assert len(idents) == 1 and values == [10 * i + j for j in range(4)]


def test_two_threads_at_once_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one has the pool; the other works alone, neither in the other's memory."""
    monkeypatch.setenv("MINIVGG_THREADS", "2")
    calls = [next(CALLS[op]()) for op in (ops.Conv2dRelu, ops.BatchNorm)]
    alone = [bits(outcome(call)) for call in calls]
    found: dict[int, set[str]] = {0: set(), 1: set()}
    start = threading.Barrier(2)

    def work(i: int) -> None:
        start.wait()
        for _ in range(3):
            found[i].add(bits(outcome(calls[i])))

    both = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [found[0], found[1]] == [{alone[0]}, {alone[1]}]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_error_of_the_earliest_part_arrives(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On any number of threads the same one, BLAS is as it was, and the pool works afterwards."""
    monkeypatch.setenv("MINIVGG_THREADS", number)

    def part(i: int) -> int:
        if i in (3, 5, 11):
            raise ValueError(f"part {i}")
        return i

    for _ in range(20):
        with pytest.raises(ValueError, match=r"^part 3$"):
            run(part, range(12))
    assert run(lambda i: i, range(12)) == list(range(12))


def test_an_interrupted_caller_leaves_a_pool_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while helpers are at work: it arrives, and the next run begins with new helpers."""
    monkeypatch.setenv("MINIVGG_THREADS", "2")
    resume, work = threading.Event(), threads._Job.work

    def interrupted(job: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        resume.wait()
        work(job)

    with monkeypatch.context() as patch:
        patch.setattr(threads._Job, "work", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(lambda i: i, range(4))
    try:
        assert run(lambda i: i, range(4)) == [0, 1, 2, 3]
    finally:
        resume.set()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system sends no signals to threads")
def test_an_interrupted_wait_is_not_taken_for_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real Ctrl-C while the caller, done with its own parts, waits for a helper: the next run waits for its own helper's parts."""
    monkeypatch.setenv("MINIVGG_THREADS", "2")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    caller, meeting = threading.get_ident(), threading.Barrier(2, timeout=30)

    def part(i: int, interrupt: bool) -> int:
        meeting.wait()  # one part is the caller's, one the helper's
        if threading.get_ident() != caller:
            time.sleep(0.05)  # the caller waits
            if interrupt:
                signal.pthread_kill(caller, signal.SIGINT)
                time.sleep(0.05)
        return i

    try:
        with pytest.raises(KeyboardInterrupt):
            run(lambda i: part(i, True), range(2))
    finally:
        signal.signal(signal.SIGINT, before)
    for _ in range(2):
        assert run(lambda i: part(i, False), range(2)) == [0, 1]


@pytest.mark.parametrize("number", [1, 3])
def test_numpy_warns_of_nothing_on_any_thread(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the caller's np.errstate is, which holds again afterwards."""
    monkeypatch.setenv("MINIVGG_THREADS", str(number))
    meeting = threading.Barrier(number, timeout=30)

    def part(i: int) -> float:
        meeting.wait()  # each thread has one part
        return float(np.float32(1) / np.float32(0))

    with np.errstate(all="raise"):
        assert run(part, range(number)) == [np.inf] * number
        with pytest.raises(FloatingPointError):
            np.divide(np.float32(1), np.float32(0))


def test_blas_has_its_threads_back_after_a_kernel() -> None:
    """Inside it is held to one; after a kernel, and after an exception in one, its number is as before."""
    script = """
import threadpoolctl, numpy as np
from minivgg.backend.threads import run
def number(part=None):
    return {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"}
def fails(part):
    raise ValueError
threadpoolctl.threadpool_limits(2, "blas")
inside = run(number, range(4))
after = number()
try:
    run(fails, range(4))
except ValueError:
    print(inside == [{1}] * 4, after, number())
"""
    for number in ("1", "2"):
        assert in_a_process(script, OPENBLAS_NUM_THREADS="2", MINIVGG_THREADS=number) == "True {2} {2}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes_the_same() -> None:
    """The child has none of the parent's threads, and starts its own, also if the fork happens while the pool is at work."""
    script = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what is tested
import numpy as np
from minivgg import ops
from minivgg.backend.threads import run
x = np.random.default_rng(0).standard_normal((32, 16, 32, 32), np.float32)
w = np.random.default_rng(1).standard_normal((32, 16, 3, 3), np.float32)
before = ops.conv2d(x, w, padding=1).tobytes()
def in_a_child():
    child = os.fork()
    if child == 0:
        os._exit(7 if ops.conv2d(x, w, padding=1).tobytes() == before else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
idle = in_a_child()
busy, leave = threading.Event(), threading.Event()
def part(i):
    busy.set()
    leave.wait()
other = threading.Thread(target=run, args=(part, range(2)))
other.start()
busy.wait()
working = in_a_child()
leave.set()
other.join()
print(idle, working, ops.conv2d(x, w, padding=1).tobytes() == before)
"""
    assert in_a_process(script, MINIVGG_THREADS="2") == "7 7 True"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " 2", "²"])
def test_a_bad_number_of_threads_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the value and the remedy, when it is asked for, and by a kernel."""
    monkeypatch.setenv("MINIVGG_THREADS", value)
    with pytest.raises(ConfigError, match="MINIVGG_THREADS must be a whole number") as error:
        mv.threads()
    assert repr(value) in str(error.value)
    with pytest.raises(ConfigError):
        ops.relu(np.ones((1024, 1024), np.float32))


def test_without_a_number_all_cores_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that this process may run on; an empty value counts as none."""
    monkeypatch.delenv("MINIVGG_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert mv.threads() == cores
    monkeypatch.setenv("MINIVGG_THREADS", "")
    assert mv.threads() == cores


def test_split_covers_everything_once_and_knows_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices follow one another from 0 to the count, none is empty, sizes differ by one at most, whatever MINIVGG_THREADS is."""
    for count, size in itertools.product([*range(40), 100, 1023], [0, 1, 2, 3, 7, 16, 100, 1 << 18, 1 << 30]):
        monkeypatch.setenv("MINIVGG_THREADS", "1")
        parts = split(count, size)
        assert [i for part in parts for i in (part.start, part.stop)][1:-1] == [b for part in parts[1:] for b in (part.start, part.start)]
        assert (parts[0].start, parts[-1].stop) == (0, count) if count else parts == []
        lengths = {part.stop - part.start for part in parts}
        assert not count or (min(lengths) > 0 and max(lengths) - min(lengths) <= 1)
        monkeypatch.setenv("MINIVGG_THREADS", "5")
        assert split(count, size) == parts


def test_split_makes_parts_of_about_the_size() -> None:
    """By hand: one up to a half, two for three halves, four for four, eight for ten."""
    assert [len(split(count, 100)) for count in (50, 150, 400, 1000)] == [1, 2, 4, 8]
