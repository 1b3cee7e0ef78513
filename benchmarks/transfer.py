"""What features are worth: shoes told apart by a network that has only seen clothes, and by their bare pixels.

    python benchmarks/transfer.py [FOLDER]

The embedded images are cut into two sets: seven classes of clothes and bags, and three of shoes. A network is trained on the first,
in FOLDER (a temporary one by default), and a linear classifier on its features of the second, with 10 training images of each class (the
mean and the deviation of eight draws) and with all 500. A line for each layer; the first one is for pixels. Takes a minute or two.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from minivgg import data
from minivgg.evaluation.feature_file import FeatureFile, FeatureSet
from minivgg.evaluation.features import features_of_parts
from minivgg.evaluation.transfer import transfer
from minivgg.train import Predictor, TrainConfig, train

CLOTHES, SHOES = (0, 1, 2, 3, 4, 6, 8), (5, 7, 9)
WAYS = {
    "penultimate layer": {},
    "penultimate layer, scales 32, 48, 64 stacked": {"scales": "32,48,64", "stack": True},
    "features.21, the pooling behind conv4_2": {"layer": "features.21"},
    "features.14, the pooling behind conv3_2": {"layer": "features.14"},
}


def write_sets(folder: Path) -> None:
    """clothes.npz and shoes.npz."""
    train_set, test_set = data.load()
    assert test_set is not None
    for name, chosen in {"clothes": CLOTHES, "shoes": SHOES}.items():
        arrays = {"classes": np.array([train_set.classes[k] for k in chosen])}
        for part, whole in (("train", train_set), ("test", test_set)):
            mine = np.isin(whole.labels, chosen)
            arrays |= {f"x_{part}": whole.images[mine, ..., 0], f"y_{part}": np.searchsorted(chosen, whole.labels[mine])}
        np.savez(folder / f"{name}.npz", **arrays)


def pixels(parts: data.Parts) -> FeatureFile:
    """The images themselves as features, of length 1."""
    sets = {}
    for name, part in (("train", parts.train), ("test", parts.test)):
        assert part is not None
        x = np.asarray(part.read(np.arange(len(part)))).reshape(len(part), -1).astype(np.float64)
        sets[name] = FeatureSet(x / np.linalg.norm(x, axis=1, keepdims=True), np.asarray(part.labels), tuple(map(str, range(len(part)))))
    return FeatureFile(sets, parts.train.classes, {})


def show(name: str, found: FeatureFile) -> None:
    """One line of the table."""
    few = [transfer(found, per_class=10, seed=seed).accuracy for seed in range(8)]
    width = found.sets["train"].x.shape[1]
    print(f"| {name} | {width} | {np.mean(few):.1%} ± {np.std(few):.1%} | {transfer(found).accuracy:.1%} |", flush=True)


def main(folder: Path) -> None:
    """Print the table, as Markdown."""
    write_sets(folder)
    run = train(TrainConfig(data=str(folder / "clothes.npz"), epochs=5, device="cpu", out=str(folder / "runs"))).folder
    predictor, parts = Predictor.load(run, device="cpu"), data.parts(folder / "shoes.npz")
    print("| features | width | 10 images a class | all 500 a class |\n| --- | ---: | ---: | ---: |")
    show("pixels", pixels(parts))
    for name, options in WAYS.items():
        show(name, features_of_parts(predictor, parts, **options))  # type: ignore[arg-type]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
