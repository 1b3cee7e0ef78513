"""Tables survive whatever files and folders are called, and are the same bytes for the same results."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from minivgg.evaluation.calibration import calibrate
from minivgg.evaluation.scores import score
from minivgg.evaluation.tables import classes_csv, predictions_csv, scores_json

from .answers import answers

ODD = ('a,b "quoted"', "two\nlines", "return\rhere", "=1+1", "naïve \udcff", "日本")


def rows(content: bytes) -> list[list[str]]:
    """The cells of a CSV file."""
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def test_every_prediction_has_its_row() -> None:
    """Name, true and predicted class, probability, right or not, then five classes in order with their probabilities."""
    scored = answers(1500, 7)
    head, *body = rows(predictions_csv(scored))
    assert head == [
        "image",
        "true",
        "predicted",
        "probability",
        "correct",
        *(f"{w}{i}" for i in range(1, 6) for w in ("class", "probability")),
    ]
    assert len(body) == 1500
    for k in (0, 1023, 1024, 1499):
        p, y = scored.probabilities[k], scored.labels[k]
        order = np.argsort(-p)
        assert body[k][:5] == [f"val/{k}.png", f"class {y}", f"class {order[0]}", f"{p[order[0]]:.6g}", str(int(order[0] == y))]
        assert body[k][5::2] == [f"class {c}" for c in order[:5]]
        assert [float(x) for x in body[k][6::2]] == pytest.approx(p[order[:5]], rel=1e-5)


def test_two_classes_have_two_places() -> None:
    """Fewer than five classes: as many columns as there are."""
    assert rows(predictions_csv(answers(3, 2)))[0][-4:] == ["class1", "probability1", "class2", "probability2"]


def test_odd_names_come_back_from_the_tables() -> None:
    """Commas, quotes, line breaks of both kinds and formulas are read back as they were; a byte that is no UTF-8 as \\udcff in letters."""
    scored = answers(6, 6, classes=ODD, names=ODD)
    readable = [name.replace("\udcff", "\\udcff") for name in ODD]
    table = rows(predictions_csv(scored))[1:]
    assert [row[0] for row in table] == readable
    assert [row[1] for row in table] == [readable[y] for y in scored.labels]
    assert [row[0] for row in rows(classes_csv(scored.classes, score(scored)))[1:]] == readable


def test_each_class_has_its_row() -> None:
    """Name, images, images called so, and the three figures with every digit."""
    scored = answers(60, 4)
    found = score(scored)
    assert rows(classes_csv(scored.classes, found)) == [
        ["class", "images", "called", "precision", "recall", "f1"],
        *[
            [f"class {c}", *(str(x) for x in (found.confusion[c].sum(), found.confusion[:, c].sum()))]
            + [repr(float(x[c])) for x in (found.precision, found.recall, found.f1)]
            for c in range(4)
        ],
    ]


def test_scores_json_holds_every_digit() -> None:
    """What is read back equals what was computed; the confusion matrix too; a second time gives the same bytes."""
    scored = answers(300, 9, classes=(*ODD, "x", "y", "z"))
    found, calibration = score(scored), calibrate(scored)
    content = scores_json(scored, found, calibration)
    assert content == scores_json(scored, found, calibration) and content.endswith(b"}\n")
    read = json.loads(content)
    assert list(read) == sorted(read)
    assert (read["top1"], read["top5"], read["loss"], read["images"]) == (found.top1, found.topk, found.loss, 300)
    assert read["classes"] == list(scored.classes) and read["macro"]["f1"] == found.macro.f1
    assert read["per_class"]["precision"] == found.precision.tolist() and read["calibration"]["counts"] == calibration.counts.tolist()
    matrix = np.zeros((9, 9), int)
    for i, j, count in read["confusion"]:
        matrix[i, j] = count
    assert np.array_equal(matrix, found.confusion)
