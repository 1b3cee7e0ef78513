"""The miniature of the paper's tables: what it says follows from the numbers, and its section is put where it belongs."""

from __future__ import annotations

import json

import numpy as np
import pytest

import paper_table
from measuring.command import run
from measuring.section import put_section
from minivgg.errors import ConfigError
from minivgg.evaluation.scored import Scored


def wrong(*numbers, count=100):
    """bool (count,): the images of these numbers."""
    found = np.zeros(count, bool)
    found[list(numbers)] = True
    return found


def table(**errors):
    """A table in which the network of each row gets its first so many images wrong, in every column."""
    cells = {row.replace("_", "-"): dict.fromkeys(paper_table.COLUMNS, wrong(*range(count))) for row, count in errors.items()}
    return paper_table.Table(cells, dict.fromkeys(cells, (10.0, 2.0)))


def line(lines, beginning):
    """The one row of a table whose first cell begins so, as its cells."""
    (found,) = [text for text in lines if text.startswith(f"| {beginning}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_difference_is_judged_by_its_noise_image_by_image():
    """30 of 100 wrong against 18 of the same: 0.12 ± √(0.12·0.88/99) = 0.0327, by hand; 2 images fewer are within noise."""
    lines = paper_table.claims(table(A=30, A_LRN=30, B=18, C=16, D=16, E=10).wrong)
    assert line(lines, "deeper is better (B against A)")[1:] == ["+12.00 ± 3.27", "holds"]
    assert line(lines, "deeper is better (C against B)")[1:] == ["+2.00 ± 1.41", "within noise"]
    assert line(lines, "deeper is better (D against C)")[1:] == ["+0.00 ± 0.00", "within noise"]
    assert line(lines, "… and from end to end")[2] == "holds"
    assert line(lines, "LRN does not help")[1:] == ["+0.00 ± 0.00", "holds"]


def test_what_goes_the_other_way_is_said():
    """A deeper network that is worse, and LRN that helps."""
    lines = paper_table.claims(table(A=30, A_LRN=10, B=60).wrong)
    assert line(lines, "deeper is better (B against A)")[1:] == ["-30.00 ± 4.61", "the reverse"]
    assert line(lines, "LRN does not help")[1:] == ["-20.00 ± 4.02", "does not hold"]
    assert not [text for text in lines if "(C against B)" in text or "end to end" in text]


def test_protocols_are_compared_over_all_networks():
    """Mean of two networks' mistakes at each image: crops mend image 0 for both of them and image 1 for one."""
    rows = table(A=4, B=4).wrong
    rows["A"] = rows["A"] | {"multi-crop": wrong(2, 3)}
    rows["B"] = rows["B"] | {"multi-crop": wrong(1, 2, 3)}
    difference = np.zeros(100)
    difference[:2] = 1, 0.5
    said = line(paper_table.claims(rows), "crops are slightly better")
    assert said[1:] == [f"+1.50 ± {100 * difference.std(ddof=1) / 10:.2f}", "within noise"]


def test_the_page_has_a_row_for_each_network_and_the_noise_of_a_number():
    """Errors in per cent; √(0.3·0.7/100) = 0.0458."""
    lines = paper_table.page(table(A=30, B=25), "python benchmarks/paper_table.py", "images/test")
    assert line(lines, "A ") == ["A", *["30.0"] * 6] and line(lines, "B ") == ["B", *["25.0"] * 6]
    assert "known to ±4.6" in "\n".join(lines) and "20 s of training, 4 s of testing" in "\n".join(lines)


def test_the_record_names_the_images_that_are_wrong():
    """So that any other comparison can be made from it."""
    cell = json.loads(paper_table.record(table(A=3)))["wrong"]["A"]["both"]
    assert cell == {"error": 0.03, "images": [0, 1, 2]}


def test_missed_images_are_those_whose_largest_probability_is_another_class():
    """By hand."""
    scored = Scored(np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([1, 1]), ("a", "b"), ("0", "1"), "center")
    assert paper_table.missed(scored).tolist() == [True, False]


def test_rows_are_chosen_by_name():
    """In the table's order; net A comes along, since the others begin with it."""
    assert paper_table.chosen("D, A-LRN") == ["A", "A-LRN", "D"]
    with pytest.raises(ConfigError, match='unknown network "F"'):
        paper_table.chosen("A,F")


def test_images_without_a_test_part_are_refused_before_anything_is_trained(tmp_path, capsys):
    """Exit code 2, one line."""
    np.savez(tmp_path / "images.npz", x_train=np.zeros((4, 32, 32), np.uint8), y_train=np.arange(4) % 2)
    assert run(paper_table.main, ["--data", str(tmp_path / "images.npz"), "--out", str(tmp_path / "runs")]) == 2
    assert "has no test images" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_networks_are_trained_once_and_tested_by_every_protocol(tmp_path, capsys):
    """On 24 images: B begins with net A's weights; a second call finds the runs finished, and says the same of them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.arange(24) % 2, x_test=images[:3], y_test=np.arange(3) % 2)
    arguments = [
        "--models",
        "A,B",
        "--epochs",
        "1",
        "--width",
        "0.02",
        "--data",
        str(tmp_path / "images.npz"),
        "--out",
        str(tmp_path / "runs"),
    ]
    assert run(paper_table.main, arguments) == 0
    first = [text for text in capsys.readouterr().out.splitlines() if text.startswith("| ")]
    runs = sorted(path.parent.relative_to(tmp_path / "runs") for path in (tmp_path / "runs").glob("*/*/metrics.jsonl"))
    assert [path.name for path in runs] == [
        f"{k}_{net}_{scale}" for net in ("vgg11", "vgg13") for k, scale in enumerate(("37", "55", "37-73"), 1)
    ]
    config = (tmp_path / "runs" / runs[3] / "config.toml").read_text()
    assert f'init_from = "{tmp_path / "runs" / runs[0]}"' in config
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file() and path.name != "lock"}
    assert run(paper_table.main, arguments) == 0
    assert [text for text in capsys.readouterr().out.splitlines() if text.startswith("| ")] == first
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path):
    """Appended first; between two others afterwards; twice the same is once."""
    page = tmp_path / "docs" / "page.md"
    put_section(page, "One", ["1"])
    put_section(page, "Two", ["2"])
    put_section(page, "Three", ["3"])
    put_section(page, "Two", ["two"])
    put_section(page, "Two", ["two"])
    assert page.read_text() == "## One\n\n1\n\n## Two\n\ntwo\n\n## Three\n\n3\n"
    page.write_text("# Title\n\nProse.\n\n" + page.read_text())
    put_section(page, "One", ["uno"])
    assert page.read_text() == "# Title\n\nProse.\n\n## One\n\nuno\n\n## Two\n\ntwo\n\n## Three\n\n3\n"
