"""The pytest plugin; pytest finds it by its entry point.

    @pytest.mark.gradients(op=Softplus)
    def test_softplus() -> None:
        \"\"\"The rules of Softplus agree with finite differences.\"\"\"

The marked test first checks the op's gradients at inputs that Hypothesis draws (`strategies.calls`, for an op of your own
from its `examples`), and fails with the whole report, shrunk, if one is wrong; then its body runs. `order=1` leaves out
second derivatives, `cases=20` sets the number of inputs. Without `op` the marker only marks, for `-m gradients`.

    --gradient-profile ci|soak   200 or 10,000 inputs for each op
    --gradient-directions N      directions compared for each input
    --gradient-seed N            what is drawn depends on it alone

A line at the end of the run counts all checks made, by the marker or by calls of your own. A test that fails after a check
that was not ok shows that check's report whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ..errors import GradientError
from .observers import observers

__all__ = ["Tally", "check_marked"]

_CASES = {"ci": 200, "soak": 10_000}
_COORDINATES = 2  # besides blocks, which hold all elements
_OUTPUT = "minivgg_gradients"


@dataclass
class Tally:
    """What was checked: reports, failed ones, single elements, kinks, and the worst error among those that passed."""

    checks: int = 0
    failed: int = 0
    coordinates: int = 0
    kinks: int = 0
    worst: float = 0.0
    wrong: list[Any] = field(default_factory=list)  # reports of the test that is running

    def __call__(self, report: Any) -> None:
        """Count a report."""
        self.add([1, int(not report.ok), report.coordinates, len(report.kinks), report.worst if report.ok else 0.0])
        self.wrong.extend([] if report.ok else [report])

    def add(self, counts: list[Any]) -> None:
        """Count what another process counted."""
        self.checks, self.failed = self.checks + counts[0], self.failed + counts[1]
        self.coordinates, self.kinks, self.worst = self.coordinates + counts[2], self.kinks + counts[3], max(self.worst, counts[4])

    def counts(self) -> list[Any]:
        """Plain numbers, to be sent to another process."""
        return [self.checks, self.failed, self.coordinates, self.kinks, self.worst]

    def __str__(self) -> str:
        failed = f" ({self.failed} of them not ok)" if self.failed else ""
        return (
            f"gradients: {self.checks:,} checks{failed}, {self.coordinates:,} coordinates, {self.kinks:,} kinks met and resampled, "
            f"worst error of those that passed {self.worst:.2g} of what is allowed"
        )


_tally = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("gradients", "gradient checks (minivgg)")
    group.addoption("--gradient-profile", choices=sorted(_CASES), default="ci", help="inputs for each marked op: ci 200, soak 10,000")
    group.addoption("--gradient-directions", type=_whole, default=1, metavar="N", help="directions compared for each input (default 1)")
    group.addoption("--gradient-seed", type=_whole, default=0, metavar="N", help="decides what is drawn (default 0)")


def _whole(text: str) -> int:
    """A whole number ≥ 0. ValueError otherwise, which the command line explains."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and begin to count."""
    config.addinivalue_line(
        "markers", "gradients(op=None, order=2, cases=None): check the rules of an Op subclass at inputs that Hypothesis draws"
    )
    config.stash[_tally] = Tally()
    observers.append(config.stash[_tally])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop counting."""
    observers.remove(config.stash[_tally])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Check the op of a marked test before the test's body."""
    item.config.stash[_tally].wrong.clear()
    for marker in item.iter_markers("gradients"):
        unknown = sorted(marker.kwargs.keys() - {"op", "order", "cases"})
        if marker.args or unknown or (marker.kwargs and "op" not in marker.kwargs):
            given = ", ".join([*map(repr, marker.args), *(f"{name}=…" for name in marker.kwargs)])
            raise pytest.UsageError(f"@pytest.mark.gradients takes op=, order= and cases=, by name, but got ({given}).")
        if marker.kwargs:
            check_marked(item.config, **marker.kwargs)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the reports that were not ok in a test that failed, unless its exception shows them."""
    report: Any = yield
    if report.when == "call" and report.failed:
        shown = call.excinfo is not None and isinstance(call.excinfo.value, GradientError)
        for wrong in item.config.stash[_tally].wrong[-3:] if not shown else ():
            report.sections.append(("gradient report", str(wrong)))
    return report  # type: ignore[no-any-return]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends its counts to the controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_OUTPUT] = session.config.stash[_tally].counts()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The controller of pytest-xdist adds a worker's counts to its own."""
    node.config.stash[_tally].add(getattr(node, "workeroutput", {}).get(_OUTPUT, Tally().counts()))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The summary line, if anything was checked."""
    if config.stash[_tally].checks:
        terminalreporter.write_line(str(config.stash[_tally]))


def check_marked(config: pytest.Config, op: Any, order: int = 2, cases: int | None = None) -> None:
    """Check `op`, an Op subclass, at as many inputs as the profile says; GradientError with the report if one is wrong.

    pytest.UsageError if `op` is no Op subclass, or Hypothesis is not installed.
    """
    __tracebackhide__ = True
    from ..autograd.op import Op
    from .gradients import check_gradients

    if cases is not None and not (isinstance(cases, int) and cases > 0):
        raise pytest.UsageError(f"@pytest.mark.gradients(cases=…) must be a whole number ≥ 1, but is {cases!r}.")
    if not (isinstance(op, type) and issubclass(op, Op)):
        raise pytest.UsageError(f"@pytest.mark.gradients(op=…) needs a subclass of minivgg.Op, but got {op!r}.")
    try:
        import hypothesis
    except ImportError as error:
        raise pytest.UsageError("@pytest.mark.gradients(op=…) draws inputs with Hypothesis: pip install 'minivgg[testing]'.") from error
    from .strategies import calls

    options = {"seed": config.getoption("--gradient-seed"), "directions": config.getoption("--gradient-directions")}
    count = cases or _CASES[config.getoption("--gradient-profile")]

    @hypothesis.seed(options["seed"])
    @hypothesis.settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(call=calls(op))
    def check(call: Any) -> None:
        check_gradients(call.op, *call.arrays, order=order, coordinates=_COORDINATES, **options).raise_if_failed()

    check()
