"""torchvision's eight VGGs, written by torch and read here, and the other way round: the same bits, the same outputs and gradients.

    scripts/torchvision [NETWORK …]

No weights are fetched: each network is drawn at random at its full size, batch normalisation's statistics too, and written by torch.save
in both formats and by safetensors. Each file is read by `weights.load`, compared with torchvision's arrays bit by bit, and put into
`models.build(NETWORK)`. Then images go through both networks. An error is max|a − b| / max|b|, a ours and b torchvision's. Dropout is off
on both sides; "train" is batch normalisation by the batch's own statistics, "gradient" that of all parameters of Σ y·v, with random v.
"itself" is torchvision's float32 against its own float64: batch statistics magnify rounding layer by layer, and an error in float32
up to twice that is allowed. At last our state_dict goes into torchvision's network by safetensors, strictly, and gives the same
outputs bit by bit.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file, save_file

import minivgg as mv
from minivgg import models, nn, weights

NETWORKS = ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
PIXELS = {32: 8, 224: 1}  # → images in a batch
FORMATS = {
    "zip.pth": lambda state, path: torch.save(state, path),
    "legacy.pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "safetensors": lambda state, path: save_file(state, path),
}
BOUNDS = {
    ("float32", "eval"): 1e-5, ("float32", "train"): 1e-5, ("float64", "eval"): 1e-12, ("float64", "train"): 1e-12,
    ("float64", "gradient"): 1e-10,
}  # fmt: skip


def network(name: str) -> Any:
    """torchvision's, drawn at random; batch normalisation's parameters and statistics are far from 1 and 0."""
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None)
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values, low, high in (
                (layer.weight, 0.5, 1.5),
                (layer.bias, -1, 1),
                (layer.running_mean, -1, 1),
                (layer.running_var, 0.5, 2),
            ):
                torch.nn.init.uniform_(values, low, high)
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    return theirs.eval()


def read(name: str, file: Path, state: dict[str, Any]) -> Any:
    """Our network with the arrays of a file, which are torchvision's bit by bit."""
    arrays = weights.load(file)
    assert list(arrays) == list(state) or file.suffix == ".safetensors"
    for key, tensor in state.items():
        assert arrays[key].tobytes() == tensor.numpy().tobytes() and arrays[key].shape == tuple(tensor.shape), key
    ours = models.build(name)
    ours.load_state_dict(arrays)
    for _, layer in ours.named_modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return ours.eval()


def error(ours: Any, theirs: Any) -> float:
    """max|a − b| / max|b|, in float64."""
    a, b = np.asarray(ours, np.float64), theirs.detach().numpy().astype(np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def rounding(theirs: Any, x: np.ndarray) -> float:
    """How far torchvision's own float32 outputs are from those of its network in float64, in the mode that it is in."""
    with torch.no_grad():
        exact = copy.deepcopy(theirs).double()(torch.from_numpy(x.astype("float64")))
        return error(copy.deepcopy(theirs)(torch.from_numpy(x)).numpy(), exact)


def report(name: str, form: str, dtype: str, pixels: int, mode: str, value: float, allowed: float = 0.0) -> bool:
    """A line of the table. Whether the error is within its bound, or within `allowed`."""
    good = value <= max(BOUNDS[dtype, mode], allowed)
    print(f"{name:9} {form:12} {dtype:8} {pixels:6} {mode:9} {value:8.1e}{'' if good else '  too large'}", flush=True)
    return good


def outputs(name: str, form: str, ours: Any, theirs: Any, images: dict[int, np.ndarray], dtype: str, mode: str = "eval") -> bool:
    """Both at each size, in evaluation or in training, which leaves its running statistics behind."""
    good = True
    for model in (ours, theirs):
        model.train(mode == "train")
    for pixels, x in images.items():
        with mv.no_grad(), torch.no_grad():
            y, z = ours(x.astype(dtype)), theirs(torch.from_numpy(x.astype(dtype)))
        own = rounding(theirs, x) if (dtype, mode) == ("float32", "train") else 0.0
        good &= report(name, form, dtype, pixels, mode, error(y.data if isinstance(y, mv.Tensor) else y, z), 2 * own)
        if own:
            print(f"{name:9} {'itself':12} {dtype:8} {pixels:6} {mode:9} {own:8.1e}", flush=True)
    return good


def gradients(name: str, form: str, ours: Any, theirs: Any, x: np.ndarray) -> bool:
    """The gradients of all parameters in training, each relative to its largest; both networks are float64.

    Left out are biases before batch normalisation, which takes them away again: their gradients are 0 but for rounding.
    """
    ours.train()
    theirs.train()
    y, z = ours(mv.Tensor(x)), theirs(torch.from_numpy(x))
    v = np.random.default_rng(1).standard_normal(z.shape)
    found = mv.grad(y, [parameter for _, parameter in ours.named_parameters()], v)
    wanted = torch.autograd.grad(z, list(theirs.parameters()), torch.from_numpy(v))
    cancelled = {f"{key}.bias" for key, layer in theirs.named_modules() if isinstance(layer, torch.nn.Conv2d) and name.endswith("_bn")}
    errors = [error(a.data, b) for a, b, (key, _) in zip(found, wanted, theirs.named_parameters(), strict=True) if key not in cancelled]
    return report(name, form, "float64", x.shape[2], "gradient", max(errors))


def back(name: str, ours: Any, theirs: Any, images: dict[int, np.ndarray], folder: Path) -> bool:
    """Our arrays in torchvision's network: nothing is missing or left over, and the outputs are the same bits."""
    file = folder / "ours.safetensors"
    file.write_bytes(weights.safetensors_bytes(ours.state_dict(), {}))
    other = torchvision.models.get_model(name, weights=None).eval()
    other.load_state_dict(load_file(file), strict=True)
    with torch.no_grad():
        same = all(torch.equal(other(torch.from_numpy(x)), theirs(torch.from_numpy(x))) for x in images.values())
    print(f"{name:9} {'back':12} {'float32':8} {'all':>6} {'eval':9} {'same bits' if same else 'different'}", flush=True)
    return same


def compare(name: str) -> bool:
    """All of one network. Whether all errors are within their bounds."""
    theirs, good = network(name), True
    rng = np.random.default_rng(0)
    images = {pixels: rng.standard_normal((count, 3, pixels, pixels)).astype("float32") for pixels, count in PIXELS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for form, write in FORMATS.items():
            write(theirs.state_dict(), file := Path(folder) / f"{name}.{form}")
            ours = read(name, file, theirs.state_dict())
            file.unlink()
            good &= outputs(name, form, ours, theirs, images, "float32")
        good &= back(name, ours, theirs, images, Path(folder))
    state = copy.deepcopy(theirs.state_dict())
    good &= outputs(name, form, ours, theirs, images, "float32", "train")
    for model in (ours, theirs):  # the running statistics have moved
        model.load_state_dict({key: tensor.numpy() for key, tensor in state.items()} if model is ours else state)
    ours.to(dtype="float64")
    theirs.double()
    for mode in ("eval", "train"):
        good &= outputs(name, form, ours, theirs, images, "float64", mode)
    return good & gradients(name, form, ours, theirs, images[32].astype("float64"))


if __name__ == "__main__":
    print(f"minivgg, torch {torch.__version__}, torchvision {torchvision.__version__}")
    print(f"{'network':9} {'format':12} {'dtype':8} {'pixels':>6} {'mode':9} {'error':>8}")
    results = [compare(name) for name in sys.argv[1:] or NETWORKS]
    sys.exit(not all(results))
