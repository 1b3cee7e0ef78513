"""Caffe's .caffemodel: all generations read as they were written, and damaged or foreign files refused with path and reason."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minivgg import weights

from .refusal import require_refusal
from .sample_caffe import arrays, caffemodel, fill, net_class, normalised


def load(tmp_path, content):
    """The arrays of a file with these bytes."""
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    return weights.load(path)


@pytest.mark.parametrize("generation", [0, 1, 2])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_all_generations_come_back_as_they_went(tmp_path, generation, packed, double):
    """Names, shapes (old matrices have four sizes in the file) and bits, and the arrays can be written to; gradients are left out."""
    found = load(tmp_path, caffemodel(generation, packed, double))
    assert list(found) == list(arrays())
    for name, array in arrays().items():
        assert found[name].dtype == (np.float64 if double else np.float32) and found[name].shape == array.shape
        assert np.array_equal(found[name], array) and found[name].flags.aligned
        found[name][...] = 0


def test_the_file_says_that_its_pools_round_up(tmp_path):
    """That is Caffe's rule, and no file says otherwise."""
    (tmp_path / "a.caffemodel").write_bytes(caffemodel(2))
    assert weights.read(tmp_path / "a.caffemodel")[1] == {"format": "caffe", "pooling": "ceil"}


@pytest.mark.parametrize(("factor", "mean"), [(4.0, [1, 2]), (0.0, [0, 0])])
def test_running_sums_become_means(tmp_path, factor, mean):
    """A BatchNorm's sums are divided by its factor, as Caffe does; with a factor of 0 they count as 0."""
    found = load(tmp_path, normalised(factor))
    assert found["bn1.running_mean"].tolist() == mean and found["bn1.running_var"].tolist() == [n and n + 2 for n in mean]
    assert found["scale1.weight"].tolist() == [5, 6] and found["scale1.bias"].tolist() == [7, 8]
    assert len(found) == 4


def test_other_kinds_keep_their_arrays_by_number(tmp_path):
    """A PReLU's slopes are not called a weight, so that whoever looks for weights sees that they are left over."""
    net = net_class(True)()
    fill(net.layer.add(name="p", type="PReLU").blobs.add(), np.arange(3.0), False)
    assert list(load(tmp_path, net.SerializeToString())) == ["p.blobs.0"]


def test_memory_is_the_file_and_its_arrays(tmp_path):
    """Of 8 MB: at most twice that and a little, packed or not."""
    net = net_class(True)()
    for name in ("a", "b"):
        fill(net.layer.add(name=name, type="Convolution").blobs.add(), np.ones((1024, 1024, 1, 1)), False)
    path = tmp_path / "a.caffemodel"
    path.write_bytes(net.SerializeToString())
    tracemalloc.start()
    try:
        assert len(weights.load(path)) == 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.1 * path.stat().st_size


def blob(shape, count, name="c", kind="Convolution", blobs=1):
    """A file with one layer of blobs of that shape and so many numbers."""
    net = net_class(True)()
    layer = net.layer.add(name=name, type=kind)
    for _ in range(blobs):
        made = layer.blobs.add()
        made.shape.dim.extend(shape)
        made.data.extend([1.0] * count)
    return net.SerializeToString()


WHOLE = caffemodel(2)
DAMAGED = {
    "empty": (b"", "no layer in it has weights"),
    "text": (b'layer { name: "conv1" }', "damaged"),
    "cut off": (WHOLE[:-5], r"claims \d+ bytes"),
    "too few numbers": (blob([2, 3, 1, 1], 5), r"c\.weight \[2, 3, 1, 1\] does not fit its 20 bytes"),
    "huge shape": (blob([2**40, 2**40], 5), r"c\.weight .* does not fit"),
    "negative shape": (blob([-1, -5], 5), r"c\.weight .* does not fit"),
    "huge and nothing": (blob([2**62, 0], 0), r"c\.weight .* does not fit"),
    "many axes": (blob([1] * 100, 1), r"c\.weight .* does not fit"),
    "odd bytes": (blob([1], 1).replace(b"\x2a\x04", b"\x2a\x03").replace(b"\x80\x3f", b"\x80"), "damaged"),
    "no name": (blob([1], 1, name=""), "name of a layer"),
    "name of two lines": (blob([1], 1, name="a\nb"), r"name of a layer, 'a\\nb'"),
    "three arrays": (blob([1], 1, blobs=3), "c is a Convolution with 3 arrays; 2 were expected"),
    "half a batch norm": (blob([1], 1, kind="BatchNorm", blobs=2), "c is a BatchNorm with 2 arrays; 3 were expected"),
    "many factors": (blob([2], 2, kind="BatchNorm", blobs=3), r"c\.factor has 2 numbers"),
    "twice": (blob([1], 1) + blob([1], 1), '"c" occurs twice'),
    "a number for a layer": (b"\x10\x05", "layers should be a message, but is the number 5"),
    "many layers": (b"".join(blob([1], 1, name=f"n{i}", kind="x") for i in range(10_001)), "more than 10,000 arrays"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(tmp_path, name):
    """Each kind of damage: CheckpointError, one line with the path and the reason."""
    content, reason = DAMAGED[name]
    require_refusal(load, tmp_path, content, reason, "a.caffemodel")
