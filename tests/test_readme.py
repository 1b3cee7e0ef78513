"""README.md, CONTRIBUTING.md, CHANGELOG.md and docs/: what they show runs, and what they state is so."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import minivgg
from minivgg import errors, models, pretrained
from minivgg.cli import commands
from minivgg.train import Rehearsal, TrainConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block: the line it begins on, its language, its text."""

    line: int
    language: str
    text: str


def fenced(markdown: str) -> list[Block]:
    """All fenced blocks, in order."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    return [Block(markdown[: match.start()].count("\n") + 1, match[1], match[2]) for match in found]


def section(title: str) -> str:
    """The text under a second-order heading."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows in `text` below the rule, without backticks."""
    lines = [line.strip().strip("|").split(" | ") for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip().strip("`") for cell in line] for line in lines[1:]]


BLOCKS = fenced(README)
PYTHON = [
    (block, following) for block, following in zip(BLOCKS, [*BLOCKS[1:], Block(0, "", "")], strict=True) if block.language == "python"
]
COMMANDS = sorted({line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines() if line})


def minivgg_command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, inside `folder`, wide and without colours."""
    environment = {**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}
    command = [sys.executable, "-m", "minivgg.cli", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, cwd=folder, timeout=120)


@pytest.mark.parametrize(("block", "following"), PYTHON, ids=[f"line {block.line}" for block, _ in PYTHON])
def test_python_block_runs_and_prints_what_is_shown(
    block: Block, following: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Python block runs by itself; what it prints is the text block below it, digit for digit."""
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, f"README.md, line {block.line}", "exec"), {"__name__": "readme"})
    assert printed.getvalue() == (following.text if following.language == "text" else "")


def test_first_block_has_fifteen_lines() -> None:
    """The README says fifteen lines, and fifteen they are."""
    assert "Fifteen lines" in README and len(PYTHON[0][0].text.splitlines()) == 15


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS)
def test_shown_command_exists_with_its_options(command: str, tmp_path: Path) -> None:
    """Each `minivgg …` line names a command that --help knows, and options that the command's own --help lists."""
    program, name, *arguments = shlex.split(command)
    assert program == "minivgg"
    shown = minivgg_command(name, "--help", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    for option in [argument for argument in arguments if argument.startswith("--")]:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown.stdout), f"minivgg {name} has no {option}:\n{shown.stdout}"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `photos`, twenty pictures of two classes, and `vgg16.safetensors`, a narrow network of a thousand, where the
    README's commands look for them."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.effect_noise((80, 70), 50.0).save(folder / "photos" / name / f"{number}.png")
    network, sizes = (
        models.vgg16(width=1 / 32),
        {"num_classes": 1000, "in_channels": 3, "image_size": 224, "width": 1 / 32, "head": "paper"},
    )
    transform = pretrained.preparation("torchvision").transform(224)
    file = pretrained.Network("vgg16", sizes, network.state_dict(), pretrained.imagenet_classes(), transform)
    pretrained.save(folder / "vgg16.safetensors", file)
    return folder


@pytest.mark.parametrize(
    "command", [line for line in COMMANDS if line.startswith("minivgg train") and not re.search(r"mine|/|--benchmark|--find-lr", line)]
)
def test_shown_training_command_has_valid_values(command: str, photos: Path) -> None:
    """A `minivgg train …` line that needs no file but photographs and a network passes a dry run, which writes nothing."""
    done = minivgg_command(*shlex.split(command)[1:], "--dry-run", folder=photos)
    assert done.returncode == 0, done.stderr
    assert "Nothing was written" in done.stdout
    assert sorted(path.name for path in photos.iterdir()) == ["photos", "vgg16.safetensors"]


def test_every_command_is_shown() -> None:
    """The README shows each command that there is."""
    assert {shlex.split(line)[1] for line in COMMANDS} == set(commands.COMMANDS)


def test_summary_command_prints_the_tables_numbers(tmp_path: Path) -> None:
    """`minivgg summary vgg16`, as shown, prints the parameters and GMAC of the README's row D."""
    done = minivgg_command("summary", "vgg16", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "138,357,544" in done.stdout and "15.470" in done.stdout


def test_reading_order_has_six_files_with_their_line_counts() -> None:
    """Six files, each with its number of lines and a question; their sum stands in the introduction."""
    table = rows(section("Read it in this order"))
    actual = {}
    for cell, lines, question in table:
        path = re.fullmatch(r"\[(.+)\]\(\1\)", cell)
        assert path and question.endswith("?")
        actual[path[1]] = len((ROOT / path[1]).read_text(encoding="utf-8").splitlines())
        assert int(lines) == actual[path[1]], f"README.md: {path[1]} has {actual[path[1]]} lines, not {lines}"
    assert len(actual) == 6
    assert f"have {sum(actual.values())} lines" in README, f"README.md: the six files have {sum(actual.values())} lines together"


def count(blocks: str, batch_norm: bool) -> tuple[int, int]:
    """(parameters, multiply-adds) of a configuration for 1000 classes at 224×224, from the layers' formulas alone."""
    channels, size, parameters, work = 3, 224, 0, 0
    for entry in blocks.split():
        if entry == "M":
            size //= 2
        elif entry != "L":
            taps, filters = (1, int(entry[4:])) if entry.startswith("1x1:") else (9, int(entry))
            parameters += filters * channels * taps + filters + (2 * filters if batch_norm else 0)
            work += filters * channels * taps * size * size
            channels = filters
    for inputs, outputs in ((channels * size * size, 4096), (4096, 4096), (4096, 1000)):
        parameters += inputs * outputs + outputs
        work += inputs * outputs
    return parameters, work


def test_table_of_networks_is_exact() -> None:
    """Blocks are those of models.COLUMNS, names those of models.NAMES, and all numbers follow from the layers' formulas."""
    table = rows(section("Networks"))
    assert {row[0]: row[2].replace("M", "|") for row in table} == models.COLUMNS
    assert {row[1]: row[0] for row in table} == models.NAMES
    for _, name, blocks, parameters, with_batch_norm, gmac in table:
        plain, work = count(blocks, batch_norm=False)
        assert parameters == f"{plain:,}" and gmac == f"{work / 1e9:.3f}"
        assert with_batch_norm == (f"{count(blocks, batch_norm=True)[0]:,}" if f"{name}_bn" in models.MODELS else "–")


def test_table_of_exit_codes_is_that_of_the_exceptions() -> None:
    """Every exception of minivgg.errors stands in the row of its exit code."""
    shown = {name: code for code, _, names in rows(section("Commands")) for name in re.findall(r"\w+Error", names)}
    actual = {name: str(getattr(errors, name).exit_code) for name in errors.__all__ if name.endswith("Error")}
    assert shown == actual


def test_the_two_commands_are_named_and_there() -> None:
    """scripts/demo and scripts/test stand in the README and can be executed."""
    for name in ("scripts/demo", "scripts/test"):
        assert f"`{name}`" in section("Two commands")
        assert os.access(ROOT / name, os.X_OK)


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_named_files_exist(name: str) -> None:
    """Every relative link, and every path in backticks that begins with a folder of the repository, leads somewhere."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    paths = re.findall(r"(?:`|python )((?:minivgg|scripts|examples|tests|benchmarks)/[\w./]*)", text)
    assert [link for link in links if not ((ROOT / name).parent / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_page_on_large_inputs_prints_what_it_shows() -> None:
    """Its example's bytes are those below it."""
    example, shown = fenced((ROOT / "docs" / "large_inputs.md").read_text(encoding="utf-8"))[:2]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.text, "docs/large_inputs.md", "exec"), {"__name__": "page"})
    assert printed.getvalue() == shown.text


def test_page_on_cards_tells_the_memory_that_is_predicted() -> None:
    """docs/gpu.md's MiB for VGG-16 at 224×224 and batch 64 are those of a rehearsed step, which `minivgg summary` prints."""
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    shown = re.search(r"VGG-16 at 224×224 and batch 64 in `fp32`: ([\d,]+) MiB", page)
    config = TrainConfig(model="vgg16", head="paper", image_size=224, width=1.0, device="cuda")
    assert shown and shown[1] == f"{Rehearsal(config, 1000, 3).predict(64).peak / 2**20:,.0f}"


def test_page_on_gradient_checks_runs_and_names_tests_that_exist() -> None:
    """Its example prints what is shown; every test that it names as a proof is defined in the file that it names."""
    page = (ROOT / "docs" / "gradient_checks.md").read_text(encoding="utf-8")
    example, shown = fenced(page)[:2]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example.text, "docs/gradient_checks.md", "exec"), {"__name__": "page"})
    assert printed.getvalue() == shown.text
    proofs = re.findall(r"`(tests/\S+\.py)::(\w+)`", page)
    assert len(proofs) >= 12
    assert [test for path, test in proofs if f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8")] == []


def test_counts_of_the_gate_are_those_of_its_page() -> None:
    """The README's numbers of planted rules and kernels stand on docs/gate.md, where none survives and nothing is a false alarm."""
    page = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    shown = re.search(r"(\d+) planted wrong rules and (\d+) wrong kernels", README)
    assert shown
    for kind, count in zip(("rules", "kernels"), shown.groups(), strict=True):
        assert f"- wrong {kind}: {count} planted, {count} rejected, 0 survive" in page
    assert "- false alarms: 0 in 2,356 random correct cases" in page


def test_layers_are_those_that_the_imports_obey() -> None:
    """The picture of layers names every folder of the package, from the commands down to the backend."""
    picture = next(block.text for block in BLOCKS if block.language == "" and block.text.startswith("cli"))
    named = [word for line in picture.splitlines() for word in line[:33].split()]
    folders = {path.name for path in (ROOT / "minivgg").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(named) == folders and (named[0], named[-1]) == ("cli", "backend")


def test_contributing_stays_short() -> None:
    """The definition of done and the style fit into 60 lines."""
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) < 60


def test_changelog_knows_this_version() -> None:
    """Sections are [Unreleased] and versions, and the package's version is one of them."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased" and minivgg.__version__ in versions[1:]
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
