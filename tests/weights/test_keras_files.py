"""Keras' files: all layouts read as h5py wrote them; links, foreign types and damage refused with path and reason."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from minivgg import weights
from minivgg.errors import CheckpointError

from .mutations import mutated
from .refusal import require_refusal
from .sample_keras import arrays, compressed, hdf5, keras_1, keras_2, keras_3, samples, zipped


def load(tmp_path, content, suffix=".h5"):
    """The arrays of a file with these bytes."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    return weights.load(path)


def made(change):
    """A file with one array w, on which the function `change` was called."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["w"] = np.ones((3, 3, 2, 2), "float32")
        change(file)
    return stream.getvalue()


FILES = {
    "Keras 1": (keras_1(), ".h5"),
    "Keras 2, weights": (keras_2(False), ".hdf5"),
    "Keras 2, whole model": (keras_2(True), ".h5"),
    "Keras 3": (keras_3(), ".weights.h5"),
    "Keras 3, whole model": (zipped(keras_3()), ".keras"),
    "compressed": (compressed(), ".h5"),
}


@pytest.mark.parametrize("name", FILES)
def test_all_layouts_come_back_as_they_went(tmp_path, name):
    """Names, shapes, bits; optimisers' state and random generators' are left out; the arrays can be written to."""
    found = load(tmp_path, *FILES[name])
    assert sorted(found) == sorted(arrays())
    for key, array in arrays().items():
        assert found[key].dtype == np.float32 and np.array_equal(found[key], array)
        found[key][...] = 0
    assert weights.read(tmp_path / f"a{FILES[name][1]}")[1] == {"format": "keras"}


def test_layers_without_names_are_in_the_order_of_their_numbers(tmp_path):
    """conv2d, conv2d_2, conv2d_10: an alphabet would have the second last."""
    found = load(tmp_path, keras_3(attributes=False))
    kernels = [name for name in found if name.endswith("kernel")]
    assert kernels == ["conv2d/kernel", "conv2d_2/kernel", "conv2d_10/kernel", "dense/kernel"]
    assert np.array_equal(found["conv2d_10/kernel"], arrays()["block2_conv1/kernel"])


def test_a_network_within_a_network_gives_its_layers(tmp_path):
    """A published VGG with a new head: vgg16/block1_conv1/kernel:0."""
    found = load(
        tmp_path,
        hdf5({"model_weights/vgg16/block1_conv1/kernel:0": np.ones((3, 3, 3, 4), "f4"), "model_weights/d/d/bias:0": np.ones(2, "f4")}),
    )
    assert sorted(found) == ["block1_conv1/kernel", "d/bias"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (2, 3)}, {"chunks": (2, 3), "compression": "gzip", "shuffle": True, "fletcher32": True}]
)
def test_floats_of_all_widths_in_all_storages(tmp_path, dtype, options):
    """In one piece and in chunks that reach over the edge: the bits that h5py wrote."""
    array = np.random.default_rng(0).standard_normal((5, 7)).astype(dtype)
    found = load(tmp_path, hdf5({"d/kernel:0": array}, **options))["d/kernel"]
    assert found.dtype == dtype and np.array_equal(found, array)


def test_many_layers_and_long_tables(tmp_path):
    """Trees of several levels, for 400 groups with names of their own and for 600 chunks."""
    names = {f"layers/dense_{i}/vars": {"name": f"fc{i}"} for i in range(400)}
    found = load(tmp_path, hdf5({f"{group}/0": np.full((1, 1), i, "f4") for i, group in enumerate(names)}, names))
    assert [found[f"fc{i}/kernel"].item() for i in range(400)] == list(range(400))
    array = np.arange(600, dtype="float32").reshape(20, 30)
    assert np.array_equal(load(tmp_path, hdf5({"d/kernel:0": array}, chunks=(1, 1)))["d/kernel"], array)


def test_an_empty_array_and_a_single_number(tmp_path):
    """Shapes (0, 2) and ()."""
    found = load(tmp_path, hdf5({"a/x": np.zeros((0, 2), "f4"), "b/x": np.float32(3)}))
    assert found["a/x"].shape == (0, 2) and found["b/x"].shape == () and found["b/x"] == 3


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_memory_is_the_arrays(tmp_path, suffix):
    """Of 8 MB in one piece: that, and less than 2 MB more, whether within a zip or not."""
    content = hdf5({f"layers/{name}/vars/0": np.ones((1024, 1024), "float32") for name in ("a", "b")})
    path = tmp_path / f"a{suffix}"
    path.write_bytes(zipped(content) if suffix == ".keras" else content)
    tracemalloc.start()
    try:
        assert len(weights.load(path)) == 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (10 << 20)


def virtual(file):
    """A dataset put together from another file's."""
    layout = h5py.VirtualLayout((2,), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    file.create_virtual_dataset("v", layout)


def link(target):
    """A change that adds a link."""
    return lambda file: file.__setitem__("l", target)


def claims(shape):
    """The file of w, whose shape is another: 3·3·2·2 becomes that."""
    old, new = (b"".join(n.to_bytes(8, "little") for n in sizes) for sizes in ((3, 3, 2, 2), shape))
    return made(lambda file: None).replace(old, new)


def flipped(content, at):
    """The same with one bit changed."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


WHOLE = keras_2(False)
PACKED = hdf5({"d/kernel:0": np.zeros((100, 100), "f4")}, chunks=(50, 50), fletcher32=True)
REFUSED = {
    "empty": (b"", "no HDF5 file"),
    "text": (b"hello", "no HDF5 file"),
    "cut off": (WHOLE[:-9], "bytes were expected"),
    "no arrays": (made(lambda file: file.pop("w")), "has no weights"),
    "a soft link": (made(link(h5py.SoftLink("/w"))), "l in the root is a link"),
    "a link out of the file": (made(link(h5py.ExternalLink("/etc/passwd", "/x"))), "the root .* newer files"),
    "a circle": (made(lambda file: file.__setitem__("g/up", file["/"])), "g/up has two names"),
    "an array with two names": (made(lambda file: file.__setitem__("v", file["w"])), "w has two names"),
    "data in another file": (
        made(lambda file: file.create_dataset("e", (2,), "f4", external=[("/etc/passwd", 0, 8)])),
        "e has its data in other files",
    ),
    "data of other datasets": (made(virtual), r"v has the layout"),
    "a filter of a plug-in": (
        made(lambda file: file.create_dataset("p", (2, 2), "f4", chunks=(1, 1), compression="lzf")),
        "p .* filter 32000",
    ),
    "a type that stands elsewhere": (
        made(lambda file: (file.__setitem__("t", np.dtype("f4")), file.create_dataset("x", (2,), file["t"]))),
        "x shares its type",
    ),
    "whole numbers": (made(lambda file: file.create_dataset("i", (2,), "i4")), "i has numbers that are no"),
    "numbers the other way round": (made(lambda file: file.create_dataset("i", (2,), ">f4")), "i has numbers that are no"),
    "references": (made(lambda file: file.create_dataset("r", (2,), h5py.ref_dtype)), "r has numbers that are no"),
    "the newest layout": (hdf5({"w": np.ones(2, "f4")}, libver="latest"), "superblock of version 3"),
    "a shape of another size": (claims((3, 3, 2, 9)), r"w float32 \[3, 3, 2, 9\] needs 648 bytes, but has 144"),
    "a huge shape": (claims((1 << 62, 1 << 62, 2, 2)), r"w has the shape"),
    "a damaged chunk": (flipped(PACKED, len(PACKED) - 100), "d/kernel:0 does not match its checksum"),
    "a large chunk": (hdf5({"w": np.zeros((1024, 1024), "f4")}, chunks=(1024, 1024)), r"chunks \[1024, 1024\]"),
    "a bomb": (hdf5({"w": np.zeros((4096, 1024), "f4")}, compression="gzip"), "too many for a file of"),
    "a name of two lines": (hdf5({"a\nb": np.ones(2, "f4")}), "a name in the root"),
    "Caffe's": (hdf5({"data/conv1_1/0": np.ones((4, 3, 3, 3), "f4")}), "snapshot of Caffe"),
    "an array for the layers": (hdf5({"model_weights": np.ones(2, "f4")}), "an array where Keras has a group"),
    "an array for the whole": (mutated([*samples().values()], 77, 33667), "an array where Keras has a group"),
    "twice": (hdf5({"a/x/kernel:0": np.ones(2, "f4"), "b/x/kernel:0": np.ones(2, "f4")}), "x/kernel occurs twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused(tmp_path, name):
    """Each kind of damage, and each way out of the file: CheckpointError, one line with the path and the reason."""
    content, reason = REFUSED[name]
    require_refusal(load, tmp_path, content, reason, "a.h5")


def test_damaged_zips_are_refused(tmp_path):
    """No zip, none with weights, a compressed one, a changed bit."""
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("config.json", "{}")
    whole = zipped(keras_3())
    for content, reason in [
        (b"hello", "was expected in a zip"),
        (other.getvalue(), "was expected in a zip"),
        (zipped(keras_3(), zipfile.ZIP_DEFLATED), "not compressed"),
        (whole[:-2000], "was expected in a zip|checksum"),
        (flipped(whole, len(whole) // 2), "checksum"),
    ]:
        with pytest.raises(CheckpointError, match=reason) as caught:
            load(tmp_path, content, ".keras")
        assert str(caught.value).startswith(str(tmp_path / "a.keras"))
