"""One update of a VGG with a batch that does not fit at once: gradient accumulation, recomputation, and the peak memory.

    python benchmarks/large_batch.py                                            # VGG-16, 224×224, 1000 classes, 256 images in 32 parts
    python benchmarks/large_batch.py --batch 4 --accumulate 2 --size 64 --width 0.125     # a second
    python benchmarks/large_batch.py --accumulate 1 --limit-gb 100                        # the whole batch at once, for comparison

The update is forward, loss and backward of each micro-batch, then SGD with momentum and weight decay. Prints what the parameters,
their gradients and velocities take, the time, and the most memory that the process ever had (ru_maxrss). Exits with 1 if that
is above --limit-gb.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import time

import numpy as np

import minivgg as mv
from minivgg import models, ops, optim
from minivgg.autograd import mode
from minivgg.train import micro_batches


def peak_bytes() -> int:
    """The largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Parse the options, do one update, report, and compare the peak with the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vgg16")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--accumulate", type=int, default=32, help="how many micro-batches")
    parser.add_argument("--recompute", action="store_true", help="recompute each block in the backward pass")
    parser.add_argument("--limit-gb", type=float, default=8.0)
    args = parser.parse_args()

    model = models.build(args.model, num_classes=args.classes, image_size=args.size, width=args.width, recompute=args.recompute)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (args.batch, args.size, args.size, 3), dtype=np.uint8)
    targets = rng.integers(0, args.classes, args.batch)
    sgd = optim.SGD(model.named_parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    sizes = micro_batches(args.batch, args.batch, args.accumulate)
    before = peak_bytes()
    start, first, loss = time.perf_counter(), 0, 0.0
    for k, size in enumerate(sizes):
        x = images[first : first + size].astype(np.float32).transpose(0, 3, 1, 2) / 255.0 - 0.5
        with mode.step(0, k):
            part = ops.cross_entropy(model(mv.Tensor(x)), targets[first : first + size])
        kept = mv.kept_bytes(part)
        part.backward(size / args.batch)
        loss, first = loss + part.item() * size / args.batch, first + size
    sgd.step()
    seconds = time.perf_counter() - start

    parameters = sum(p.data.nbytes for p in model.parameters())
    print(
        f"{args.model} ×{args.width:g}, {args.size}×{args.size}, {args.classes} classes, "
        f"{args.batch} images in {len(sizes)} micro-batches of {sizes[0]}, recompute {'on' if args.recompute else 'off'}; "
        f"NumPy {np.__version__}, {mv.threads()} threads, {platform.machine()}"
    )
    print(f"loss {loss:.4f}, one update in {seconds:.1f} s ({args.batch / seconds:.1f} images/s)")
    print(f"parameters, gradients and velocities {3 * parameters / 1e9:.2f} GB; the last micro-batch kept {kept / 1e9:.2f} GB")
    print(f"peak memory {peak_bytes() / 1e9:.2f} GB (before the update {before / 1e9:.2f} GB), limit {args.limit_gb:g} GB")
    if peak_bytes() > args.limit_gb * 1e9:
        sys.exit(1)


if __name__ == "__main__":
    main()
