"""One training step of a VGG, minivgg against PyTorch, alternating in one process.

    pip install torch==2.13.0            # a development dependency of this script only
    python benchmarks/train_step.py --against torch --model vgg11_bn --size 32 --batch 128 --rounds 5

A step is forward, loss, backward and SGD with momentum and weight decay. Before timing, the weights are copied over
and the loss and every gradient of both are compared. Prints the median time of each, the median of the rounds' ratios
with its spread, images per second, and the bytes that each keeps for the backward pass.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minivgg as mv
from minivgg import models, ops, optim


def layers_of_torch(torch: Any, model: Any) -> Any:
    """The same network from torch's own layers, with our weights, stored channels-last (torch's faster layout)."""
    t = torch.nn
    made: dict[str, Callable[[Any], Any]] = {
        "Conv2d": lambda m: t.Conv2d(m.in_channels, m.out_channels, m.kernel_size, padding=m.padding),
        "BatchNorm2d": lambda m: t.BatchNorm2d(m.channels),
        "ReLU": lambda m: t.ReLU(inplace=True),
        "MaxPool2d": lambda m: t.MaxPool2d(2, 2),
        "Linear": lambda m: t.Linear(m.in_features, m.out_features),
        "Dropout": lambda m: t.Dropout(0.0),
    }
    features = t.Sequential(*[made[type(m).__name__](m) for m in model.features])
    head = model.classifier
    classifier = made["Linear"](head) if type(head).__name__ == "Linear" else t.Sequential(*[made[type(m).__name__](m) for m in head])
    network = t.Sequential()
    network.add_module("features", features)
    network.add_module("avgpool", t.AdaptiveAvgPool2d(model.avgpool.output_size))
    network.add_module("flatten", t.Flatten())
    network.add_module("classifier", classifier)
    network.load_state_dict(
        {name: torch.from_numpy(np.ascontiguousarray(a).copy().reshape(a.shape)) for name, a in model.state_dict().items()}
    )
    return network.to(memory_format=torch.channels_last)


def check_agreement(torch: Any, model: Any, network: Any, images: Any, targets: Any) -> None:
    """In float64, on 16 images: loss and gradients of both within 1e-9. In float32, on all: the loss within 1e-5.

    Gradients in float32 are compared in float64 because some of millions of ReLUs and pools flip by rounding alone.
    """
    x, y = images[:16].astype(np.float64), targets[:16]
    model.to(dtype="float64")
    network.double()
    ours = ops.cross_entropy(model(mv.Tensor(x)), y)
    ours.backward()
    theirs = torch.nn.functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(y))
    theirs.backward()
    gradients = {name: p.grad.numpy() for name, p in network.named_parameters()}
    total = np.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    errors = {
        name: float(np.linalg.norm(p.grad - gradients[name]) / max(np.linalg.norm(gradients[name]), 1e-3 * total))
        for name, p in model.named_parameters()
    }
    place = max(errors, key=lambda name: errors[name])
    model.to(dtype="float32")
    network.float()
    with mv.frozen_state(), mv.no_grad():
        ours32 = ops.cross_entropy(model(mv.Tensor(images)), targets).item()
    with torch.no_grad():
        theirs32 = torch.nn.functional.cross_entropy(network(torch.from_numpy(images)), torch.from_numpy(targets)).item()
    print(
        f"before timing: float64 loss {ours.item():.12f} (minivgg) {theirs.item():.12f} (torch), "
        f"largest relative error of a gradient {errors[place]:.1e} ({place}); float32 loss {ours32:.6f}, {theirs32:.6f}"
    )
    if (
        abs(ours.item() - theirs.item()) > 1e-9 * abs(theirs.item())
        or errors[place] > 1e-9
        or abs(ours32 - theirs32) > 1e-5 * abs(theirs32)
    ):
        sys.exit("loss or gradients disagree: timing two different computations would mean nothing.")
    network.zero_grad()


def kept_by_torch(torch: Any, network: Any, images: Any, targets: Any) -> int:
    """Bytes of the tensors that torch's graph saves, each storage once, without the parameters and the images."""
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    own.add(x.untyped_storage().data_ptr())
    saved: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(network(x), torch.from_numpy(targets))
    del loss
    return sum(saved.values())


def main() -> None:
    """Parse the arguments, check agreement, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", choices=["torch", "none"], default="torch")
    parser.add_argument("--model", default="vgg11_bn", choices=sorted(models.MODELS))
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--head", default="linear")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps per round")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    images = rng.standard_normal((args.batch, args.channels, args.size, args.size), dtype=np.float32)
    targets = rng.integers(0, 10, args.batch)
    model = models.build(args.model, num_classes=10, in_channels=args.channels, image_size=args.size, width=args.width, head=args.head)
    for module in model.classifier if args.head == "paper" else []:
        module.p = 0.0  # dropout's masks would differ
    sgd = optim.SGD(model.named_parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x = mv.Tensor(np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))

    def ours() -> None:
        loss = ops.cross_entropy(model(x), targets)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    versions = f"minivgg {mv.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, {mv.threads()} threads"
    contenders: dict[str, Callable[[], None]] = {"minivgg": ours}
    if args.against == "torch":
        import torch

        torch.set_num_threads(mv.threads())
        versions += f", torch {torch.__version__} (channels_last, eager)"
        network = layers_of_torch(torch, model)
        check_agreement(torch, model, network, images, targets)
        theirs = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        tx, ty = torch.from_numpy(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(targets)

        def torch_step() -> None:
            loss = torch.nn.functional.cross_entropy(network(tx), ty)
            theirs.zero_grad(set_to_none=True)
            loss.backward()
            theirs.step()

        contenders["torch"] = torch_step

    print(f"{args.model} ×{args.width:g}, {args.size}×{args.size}, batch {args.batch}, head {args.head}; {versions}; {platform.machine()}")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for name in contenders:
        contenders[name]()  # warm up
    for _ in range(args.rounds):
        for name, step in contenders.items():
            gc.collect()
            start = time.perf_counter()
            for _ in range(args.steps):
                step()
            times[name].append((time.perf_counter() - start) / args.steps)
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(
            f"{name:8} {median * 1e3:8.1f} ms a step (rounds {', '.join(f'{s * 1e3:.0f}' for s in seconds)}), "
            f"{args.batch / median:.0f} images/s"
        )
    if "torch" in times:
        ratios = [t / o for t, o in zip(times["torch"], times["minivgg"], strict=True)]
        print(
            f"ratio torch / minivgg: median {statistics.median(ratios):.2f}, spread {min(ratios):.2f} to {max(ratios):.2f} "
            "(above 1: minivgg is faster)"
        )
        loss = ops.cross_entropy(model(x), targets)
        kept, torch_kept = mv.kept_bytes(loss), kept_by_torch(torch, network, images, targets)
        print(f"kept for backward: minivgg {kept / 2**20:.1f} MiB, torch {torch_kept / 2**20:.1f} MiB, ratio {kept / torch_kept:.2f}")


if __name__ == "__main__":
    main()
