"""Warnings switched off in several threads at once come back when the last has left."""

from __future__ import annotations

import threading
import warnings

import pytest

from minivgg.data.silence import silence


def test_threads_that_overlap_leave_the_filters_as_they_were() -> None:
    """The first in is the first out, while a second is inside: afterwards warnings are heard again."""
    before, entered, leave = list(warnings.filters), threading.Event(), threading.Event()

    def second() -> None:
        with silence():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=second)
    with silence():
        thread.start()
        entered.wait()
        warnings.warn("odd metadata", stacklevel=1)
    leave.set()
    thread.join()
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
