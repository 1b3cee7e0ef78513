"""The pytest plugin, as a user's project sees it."""

from __future__ import annotations

import re
import sys

import pytest

PROJECT = '''
import numpy as np
import pytest
from minivgg import ops
from minivgg.autograd.core import Op, op
from minivgg.testing import check_gradients


@op
class Softplus(Op):
    """y = ln(1 + eˣ)."""
    slope: float = 1.0

    def forward(self, x):
        return np.logaddexp(0, x)

    def grad_x(self, gy, x):
        return gy * ops.sigmoid(x) * self.slope

    @staticmethod
    def examples(rng):
        yield Softplus(), (rng.standard_normal((2, 3)),)
        yield Softplus(), (rng.standard_normal(()),)


class Halved(Softplus):
    @staticmethod
    def examples(rng):
        yield Halved(0.5), (rng.standard_normal((2, 3)),)
'''


def project(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    """Run pytest in a folder of its own with these tests."""
    pytester.makepyfile(PROJECT + tests)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers", *arguments)


def test_a_marked_test_checks_its_op(pytester: pytest.Pytester) -> None:
    """The marker draws inputs and checks them before the body runs; the summary counts them."""
    result = project(pytester, """
@pytest.mark.gradients(op=Softplus, cases=30)
def test_softplus():
    pass
""")  # fmt: skip
    result.assert_outcomes(passed=1)
    line = next(line for line in result.outlines if line.startswith("gradients: "))
    counts = re.fullmatch(r"gradients: (\d+) checks, (\d+) coordinates, 0 kinks met and resampled, worst error .* of what is allowed", line)
    assert counts and int(counts[1]) == 30 and int(counts[2]) > 30


def test_a_wrong_op_fails_with_the_whole_report_shrunk(pytester: pytest.Pytester) -> None:
    """The report is in the failure, with the inputs as code to paste; the other section is not repeated."""
    result = project(pytester, """
@pytest.mark.gradients(op=Halved, cases=10)
def test_halved():
    pass
""")  # fmt: skip
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "diagnosis: gradient of x: factor ½" in text and "check_gradients(" in text and "not ok" in text


def test_an_assertion_on_a_report_shows_the_report(pytester: pytest.Pytester) -> None:
    """`assert report.ok` fails with the report under a heading of its own."""
    result = project(pytester, """
def test_halved():
    assert check_gradients(Halved(0.5), np.ones(3)).ok

def test_other():
    check_gradients(Halved(0.5), np.ones(3))
""")  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert text.count("- gradient report -") == 1 and "WRONG: gradients of Halved(slope=0.5)" in text


def test_options_decide_how_much_and_what_is_drawn(pytester: pytest.Pytester) -> None:
    """The profile sets the number of inputs, the seed repeats a run digit for digit, and directions are counted."""
    tests = """
@pytest.mark.gradients(op=Softplus, order=1)
def test_softplus(request):
    assert request.config.getoption("--gradient-directions") == 3
"""
    runs = [project(pytester, tests, "--gradient-profile", "ci", "--gradient-seed", seed, "--gradient-directions", "3") for seed in "778"]
    lines = [next(line for line in run.outlines if line.startswith("gradients: ")) for run in runs]
    assert lines[0] == lines[1] != lines[2] and all("gradients: 200 checks" in line for line in lines)
    refused = project(pytester, tests, "--gradient-seed", "-1")
    assert refused.ret != 0 and "--gradient-seed" in refused.stderr.str()


def test_counts_of_parallel_workers_are_added(pytester: pytest.Pytester) -> None:
    """Under pytest-xdist the summary counts what all workers did."""
    tests = "".join(f"\ndef test_{i}():\n    check_gradients(ops.exp, np.ones(2), order=1)\n" for i in range(6))
    result = project(pytester, tests, "--numprocesses", "2")
    result.assert_outcomes(passed=6)
    assert any(line.startswith("gradients: 6 checks, 12 coordinates") for line in result.outlines)


def test_a_run_without_checks_says_nothing(pytester: pytest.Pytester) -> None:
    """No line, and the marker without an op only marks."""
    result = project(pytester, "\n@pytest.mark.gradients\ndef test_nothing():\n    pass\n", "-m", "gradients")
    result.assert_outcomes(passed=1)
    assert not any(line.startswith("gradients: ") for line in result.outlines)


def test_the_marker_refuses_what_is_no_op(pytester: pytest.Pytester) -> None:
    """A function is not an Op subclass, and arguments are given by name; the message says what is expected."""
    marks = ["op=ops.exp", "'Softplus'", "ops=Softplus", "op=Softplus, cases=0", "order=1"]
    result = project(pytester, "".join(f"\n@pytest.mark.gradients({mark})\ndef test_{i}():\n    pass\n" for i, mark in enumerate(marks)))
    result.assert_outcomes(failed=len(marks))
    text = result.stdout.str()
    assert "needs a subclass of minivgg.Op, but got <function exp" in text
    assert text.count("takes op=, order= and cases=, by name, but got") >= 3 and "must be a whole number ≥ 1, but is 0" in text


def test_every_marker_of_a_test_counts(pytester: pytest.Pytester) -> None:
    """Of two markers both ops are checked, in whatever order they stand."""
    result = project(pytester, """
@pytest.mark.gradients(op=Halved, cases=3)
@pytest.mark.gradients(op=Softplus, cases=3)
def test_both():
    pass
""")  # fmt: skip
    result.assert_outcomes(failed=1)


def test_without_hypothesis_the_marker_says_what_to_install(pytester: pytest.Pytester) -> None:
    """Hypothesis is an extra."""
    result = project(pytester, """
import sys
sys.modules["hypothesis"] = None

@pytest.mark.gradients(op=Softplus)
def test_softplus():
    pass
""", "-p", "no:hypothesispytest")  # fmt: skip
    result.assert_outcomes(failed=1)
    assert "pip install 'minivgg[testing]'" in result.stdout.str()


def test_pytest_does_not_wait_for_the_checks(pytester: pytest.Pytester) -> None:
    """A run that checks nothing does not import NumPy for the plugin's sake."""
    result = pytester.run(
        sys.executable, "-c", "import sys, minivgg.testing.plugin; sys.exit('numpy' in sys.modules or 'hypothesis' in sys.modules)"
    )
    assert result.ret == 0
