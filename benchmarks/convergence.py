"""Does training with Winograd's algorithm end where training with direct convolutions ends?

    python benchmarks/convergence.py --seeds 0,1,2 --epochs 10

Trains the default job (VGG-11-BN ×¼ on the embedded images) with each algorithm and seed, and prints validation loss epoch by epoch,
the test accuracies, and their difference beside the spread over seeds, which is the noise that a difference has to be compared with.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile

import numpy as np

import minivgg as mv
from minivgg.train import TrainConfig, train


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    try:
        seeds = [int(seed) for seed in args.seeds.split(",")]
    except ValueError:
        parser.error(f'--seeds must be whole numbers with commas between them, such as 0,1,2, but is "{args.seeds}".')
    versions = f"minivgg {mv.__version__}, NumPy {np.__version__}, Python {platform.python_version()}"
    print(f"{versions}, {mv.threads()} threads; {args.epochs} epochs")
    found: dict[str, list[float]] = {"winograd": [], "im2col": []}
    for seed in seeds:
        for algorithm, accuracies in found.items():
            with tempfile.TemporaryDirectory() as folder, mv.conv_algorithm("auto" if algorithm == "winograd" else algorithm):
                result = train(TrainConfig(seed=seed, epochs=args.epochs, out=folder))
            assert result.test is not None
            accuracies.append(result.test.correct / result.test.count)
            curve = " ".join(f"{row['val_loss']:.4f}" for row in result.rows)
            print(f"seed {seed} {algorithm:8} test accuracy {accuracies[-1]:.3f}; validation loss {curve}")
            sys.stdout.flush()
    means = {algorithm: statistics.mean(values) for algorithm, values in found.items()}
    spreads = {algorithm: statistics.stdev(values) if len(values) > 1 else float("nan") for algorithm, values in found.items()}
    for algorithm in found:
        print(f"{algorithm:8} mean {means[algorithm]:.4f}, deviation over seeds {spreads[algorithm]:.4f}")
    print(f"difference of the means {means['winograd'] - means['im2col']:+.4f}")


if __name__ == "__main__":
    main()
