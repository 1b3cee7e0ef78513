"""The course in examples/: every lesson runs as a reader would run it, and prints what its comments promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
LESSONS = sorted(path.name for path in FOLDER.glob("*.py"))


def run(lesson: str) -> str:
    """What the lesson prints, in a process of its own, with warnings as errors; its last line is a question."""
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error", str(FOLDER / lesson)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300)
    assert done.returncode == 0, f"{lesson} ended with exit code {done.returncode}:\n{done.stderr}"
    assert done.stderr == "", f"{lesson} wrote to stderr:\n{done.stderr}"
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("Question: ") and last.endswith("?"), f"{lesson} ends with {last!r}, which is no question"
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The groups of the first match of `pattern`, as floats."""
    match = re.search(pattern, text)
    assert match, f"{pattern!r} is not in\n{text}"
    return [float(group) for group in match.groups()]


def test_course_has_ten_lessons_in_order() -> None:
    """The numbers in the names give the order, without gaps."""
    assert [name[:2] for name in LESSONS] == [f"{i:02}" for i in range(1, 11)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_is_short_and_ends_with_a_question(lesson: str) -> None:
    """Under 100 lines; the docstring begins with the lesson's number; the last two lines are a hint and a question."""
    lines = (FOLDER / lesson).read_text(encoding="utf-8").strip().splitlines()
    assert len(lines) < 100
    assert lines[0].startswith(f'"""{int(lesson[:2])}. ') and lines[0].endswith(".")
    assert lines[-2].startswith("# Hint: ") and lines[-1].startswith('print("\\nQuestion: ')


def test_every_lesson_is_run_below() -> None:
    """Each file of the course is named in a test of this module that runs it."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in LESSONS if f'run("{name}")' not in source] == []


@pytest.mark.parametrize("lesson", LESSONS)
def test_files_that_a_lesson_names_exist(lesson: str) -> None:
    """Every path in minivgg/ that a comment points to is there."""
    paths = re.findall(r"minivgg/[\w/]+\.py", (FOLDER / lesson).read_text(encoding="utf-8"))
    assert [path for path in paths if not (FOLDER.parent / path).is_file()] == []


def test_chain_rule_is_found_three_times() -> None:
    """By hand, by the engine and by finite differences dy/dx is 4/5, and the tape names the rules that ran."""
    text = run("01_chain_rule.py")
    assert re.findall(r"dy/dx = ([\d.]+)", text) == ["0.8000000000"] * 3
    assert text.count("1.6094379124") == 2  # ln 5, by hand and by the engine
    for cell in ("FORWARDS", "BACKWARDS", "Log", "grad_w(gy, x)", "8 bytes are kept"):
        assert cell in text


def test_line_fit_arrives_at_least_squares() -> None:
    """After 100 steps w and b agree with the least-squares solution, and the second derivative with 2·mean(x²)."""
    text = run("02_line_fit.py")
    w, b = numbers(r" 100  0\.\d+  (\S+)  (\S+)", text)
    exact_w, exact_b = numbers(r"exact +(\S+)  (\S+)", text)
    assert abs(w - exact_w) < 2e-6 and abs(b - exact_b) < 2e-6
    engine, formula = numbers(r"curvature in w  (\S+) = 2·mean\(x²\) = ([\d.]+)", text)
    assert engine == formula


def test_convolution_equals_the_matrix_product() -> None:
    """The small product is 8 everywhere both ways, the large ones differ by rounding, and the windows are counted right."""
    text = run("03_convolution_is_a_matrix_product.py")
    assert text.count("[8. 8. 8. 8.]") == 2
    assert all(float(error) < 1e-12 for error in re.findall(r"largest difference (\S+?)(?:,|\n)", text))
    assert "[4. 6. 6. 4.]\n [6. 9. 9. 6.]\n [6. 9. 9. 6.]\n [4. 6. 6. 4.]" in text
    assert "115.6 MB, against 12.8 MB" in text


def test_step_sizes_show_both_errors() -> None:
    """In float64 the error falls with h² down to 1e-5; in float32 it never gets near that; the checker agrees with the rules."""
    text = run("04_check_a_gradient.py")
    rows = {int(k): (float(double), float(single)) for k, double, single in re.findall(r"1e-(\d) +(\S+) +(\S+)", text)}
    assert sorted(rows) == list(range(1, 9))
    assert all(50 < rows[k][0] / rows[k + 1][0] < 200 for k in (1, 2, 3))
    assert rows[5][0] < 1e-9 and min(single for _, single in rows.values()) > 1e-6
    assert "ok: gradients of f" in text
    assert numbers(r"sum of a soft-max: at most (\S+)", text)[0] < 1e-15


def test_own_op_is_proved_and_its_planted_bugs_are_caught() -> None:
    """The right rule passes twice, the halved one fails with ratio 0.5, the detached one passes order 1 and fails order 2."""
    text = run("05_write_your_own_op.py")
    assert "softplus(0) = 0.693147, slope 0.500000" in text
    assert text.count("ok: gradients of Softplus()") == 2 and text.count("WRONG: gradients of Softplus()") == 1
    assert "10 of 10 wrong" in text and re.search(r"ratio 0\.5\n", text)
    assert "order 1: passes" in text and "order 2: caught" in text


def test_miniature_vgg_learns() -> None:
    """The loss falls at least to half of the first epoch's, and the test accuracy is far above guessing."""
    text = run("06_train_a_vgg.py")
    losses = [float(loss) for loss in re.findall(r"epoch \d: mean loss (\S+)", text)]
    assert len(losses) == 8 and losses[-1] < losses[0] / 2
    assert numbers(r"test accuracy (\S+)", text)[0] > 0.65


def test_own_op_passes_its_tests_and_the_adjoint_identity() -> None:
    """The lesson is a test file: five tests pass, the summary counts 50 drawn inputs, the eight of the witnesses and the last one."""
    text = run("08_test_your_own_op.py")
    assert "5 passed" in text and "gradients: 59 checks" in text
    assert "ok: gradients of <lambda>" in text and "adjoint of the map of x" in text


def test_planted_bug_is_found() -> None:
    """With kernels nothing is wrong; the reference is; blame names batch norm's rule at its eight layers, and nothing else."""
    text = run("09_find_a_planted_bug.py")
    assert numbers(r"order 1, with kernels +(\d+) of", text) == [0.0] and numbers(r"order 1, reference +(\d+) of", text)[0] > 10
    found = re.findall(r"(\S+) is wrong at (.+)", text)
    assert [rule for rule, _ in found] == ["BatchNorm.grad_x"] and len(found[0][1].split(", ")) == 8
    assert "diagnosis: gradient of x: factor" in text and "with the right rule: all 41 ops that could be checked are right" in text


def test_articles_network_prints_its_shape() -> None:
    """The article's own check: 500 classes and one image of 224×224 give (1, 500); parameters as computed by hand."""
    text = run("07_the_articles_network.py")
    assert text.startswith("(1, 500)\n")
    assert f"{138_365_992 - 500 * 4097:,} parameters" in text
    assert f"{512 * 7 * 7 * 4096 + 4096:,} of them in classifier.0: 75%" in text
    assert 1 < numbers(r"deviation of the logits: (\S+)", text)[0] < 10


def test_dense_network_is_the_layers_at_every_place() -> None:
    """One cell at the training size, 4×3 on a larger image; equal to the layers within rounding, and not to crops."""
    text = run("10_look_everywhere_at_once.py")
    assert "(256, 128)" in text and "(256, 32, 2, 2)" in text
    for size, error in re.findall(r"a map of (\d×\d), (\S+) from", text):
        assert size in ("1×1", "4×3") and float(error) < 1e-4
    assert text.count("a map of") == 2 and numbers(r"up to (\d+)%", text)[0] > 10
    assert "48 with crops, 20 with the map" in text
