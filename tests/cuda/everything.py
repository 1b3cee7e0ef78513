"""All that the package does on a card, once, in miniature: what uses it is listed by the tests that run this."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

import minivgg as mv
from minivgg import models, nn, ops, optim
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.backend.precision import PRECISIONS
from minivgg.cli import run
from minivgg.testing import check_backend

from ..gpu import stripes

__all__ = ["everything"]


def everything(folder: Path) -> None:
    """On the card that is installed: ops, losses and layers in all dtypes, optimisers, and the commands in all precisions."""
    every_op()
    networks()
    commands(folder)


def every_op() -> None:
    """Each op's examples: values and derivatives of two orders in float64, values and gradients in float32 and float16; and a bias in
    float32 beside images in float16; a convolution of images that fill the tiles of the tensor cores."""
    device = mv.Device("cuda")
    shapes = {(1, 8, 4, 4): "float16", (8, 8, 1, 1): "float16", (8,): "float32"}
    ops.conv2d_relu(*(device.full(shape, 1, dtype) for shape, dtype in shapes.items()))
    x, w = (Tensor(device.full(shape, 1, "float16"), requires_grad=True) for shape in [(1, 8, 12, 12), (8, 8, 3, 3)])
    ops.conv2d(x, w, padding=1).backward(x.data)
    for cls in [cls for cls in Op.registry if cls.__module__.startswith("minivgg.")]:
        for op, arrays in cls.examples(np.random.default_rng(0)):
            check_backend(op, *arrays, backend="cupy").raise_if_failed()
            for dtype in (np.float32, np.float16):
                cast = [x.astype(dtype) if getattr(x, "dtype", None) == np.float64 else x for x in arrays]
                moved = [device.asarray(x) if isinstance(x, np.ndarray) else x for x in cast]
                inputs = [Tensor(x, requires_grad=True) if getattr(x, "dtype", None) == dtype else x for x in moved]
                y = op(*inputs)
                free = [
                    x for i, x in enumerate(inputs) if isinstance(x, Tensor) and hasattr(op, f"grad_{op.operands[0 if op.variadic else i]}")
                ]
                if free:
                    grad(y, free, Tensor(y.data).data)


def networks() -> None:
    """A step of each optimiser, guarded and not, clipped; a network that was moved, folded, recomputed; losses with all options."""
    device = mv.Device("cuda")
    x, labels = device.asarray(np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32)), device.asarray(np.arange(4) % 3)
    for form, nesterov, guard, head in [("torch", True, None, "paper"), ("paper", True, True, "linear"), ("torch", False, False, "linear")]:
        options = {"num_classes": 3, "image_size": 32, "width": 1 / 32, "head": head, "recompute": form == "paper"}
        model: Any = models.build("vgg11_bn", **options).to("cuda")
        sgd = optim.SGD(optim.without_decay(model.named_parameters()), 0.01, nesterov=nesterov, form=form)
        ops.cross_entropy(model(Tensor(x)), labels, label_smoothing=0.1, ignore_index=2, class_weights=np.ones(3)).backward()
        optim.clip_grad_norm(sgd.parameters(), 1.0)
        sgd.step(None if guard is None else device.asarray(np.array(guard)))
        sgd.load_state_dict(sgd.state_dict())
        model.load_state_dict(model.state_dict())
        with mv.no_grad():
            nn.fold_batch_norm(model.eval())(Tensor(x))
        model.to("cpu")
    device.synchronize()
    device.memory()


def commands(folder: Path) -> None:
    """Training in each precision, with the choices that take other paths; then the commands that use a trained run."""
    data = stripes.write(folder)
    common = ["train", str(data), "--width", "0.0625", "--epochs", "1", "--batch-size", "9", "--lr", "0.02", "--device", "cuda"]
    others = {
        "fp32": ["--head", "paper", "--clip", "1"],
        "tf32": ["--accumulate", "2"],
        "bf16": ["--recompute"],
        "fp16": ["--form", "paper"],
    }
    for name in PRECISIONS:
        _run([*common, *others[name], "--precision", name, "--out", str(folder / name)])
        (made,) = (folder / name).iterdir()
        _run(["train", "--resume", str(made)])
        _run(["evaluate", str(made), "--device", "cuda"])
        _run(["predict", str(made), str(folder / "a.png"), "--device", "cuda"])
    _run([*common, "--dry-run", "--out", str(folder)])


def _run(arguments: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(arguments)
    assert code == 0, f"minivgg {' '.join(arguments)}: exit code {code}: {said.getvalue()}"
