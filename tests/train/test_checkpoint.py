"""Checkpoints: equal states are equal files, and no file with a changed bit is ever believed."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from safetensors.numpy import save

from minivgg.errors import CheckpointError
from minivgg.train import Checkpoint, load_checkpoint, save_checkpoint
from minivgg.weights import load, read_safetensors, safetensors_bytes


def example():
    """A small state with all that matters: several dtypes, a single number, nested JSON with floats and text."""
    rng = np.random.default_rng(0)
    model = {"features.0.weight": rng.standard_normal((2, 3)).astype("float32"), "features.1.num_batches_tracked": np.array(3, np.int64)}
    return Checkpoint(
        model, {"momentum.features.0.weight": np.ones((2, 3), "float32")}, {"step": 3, "loss": 0.1 + 0.2, "classes": ["Ö", "b"]}
    )


def test_a_checkpoint_comes_back_whole(tmp_path):
    """Arrays bit for bit, the state equal, floats included; one metadata key."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, example())
    found, expected = load_checkpoint(path), example()
    assert found.state == expected.state
    for ours, theirs in ((found.model, expected.model), (found.optimizer, expected.optimizer)):
        assert sorted(ours) == sorted(theirs)
        assert all(np.array_equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)
    assert list(read_safetensors(io.BytesIO(path.read_bytes()), "c")[1]) == ["minivgg"]


def test_equal_states_are_equal_files(tmp_path):
    """Ten saves, dictionaries in either order, arrays in C or Fortran order: one and the same file."""
    contents = set()
    for i in range(10):
        one = example()
        order = list if i % 2 else lambda items: list(reversed(list(items)))
        model = {name: np.asarray(array, order="F" if i % 3 else "C") for name, array in order(one.model.items())}
        save_checkpoint(tmp_path / "c.safetensors", Checkpoint(model, one.optimizer, dict(order(one.state.items()))))
        contents.add((tmp_path / "c.safetensors").read_bytes())
    assert len(contents) == 1


def test_no_changed_byte_is_believed(tmp_path):
    """Every single byte of the file, changed one at a time, and every length cut off: always CheckpointError with the path."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, example())
    content = path.read_bytes()
    damaged = [content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in range(len(content))]
    damaged += [content[:i] for i in range(0, len(content), 7)] + [content + b"\0"]
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert str(path) in str(caught.value)


def test_reordered_and_exchanged_arrays_are_refused(tmp_path):
    """Two arrays of one shape that change names, and a file whose JSON was written anew with other spaces."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint({"a": np.zeros(2), "b": np.ones(2)}, {}, {"step": 1}))
    arrays, metadata = read_safetensors(io.BytesIO(path.read_bytes()), "c")
    path.write_bytes(safetensors_bytes({"a": arrays["b"], "b": arrays["a"]}, metadata))
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(path)
    path.write_bytes(safetensors_bytes(arrays, {"minivgg": json.dumps(json.loads(metadata["minivgg"]))}))
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "not a checkpoint of minivgg"),
        ({"format": "pt"}, "not a checkpoint of minivgg"),
        ({"minivgg": "{"}, "not JSON"),
        ({"minivgg": "[" * 100_000}, "not JSON"),
        ({"minivgg": "3"}, "no state"),
        ({"minivgg": '{"state": {}, "format": 99}'}, "format 99"),
        ({"minivgg": '{"state": {}, "format": 1}'}, "SHA-256"),
    ],
)
def test_foreign_files_are_refused(tmp_path, metadata, reason):
    """Sound safetensors files that minivgg did not write, or a later version did."""
    path = tmp_path / "f.safetensors"
    path.write_bytes(save({"w": np.ones(2)}, metadata))
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(path)


@pytest.mark.parametrize("cut", [0, 5, -5])
def test_a_checkpoint_under_a_damaged_name_is_no_foreign_file(tmp_path, cut):
    """Damage to the metadata's one key, part of the value moved into it, too, does not make it a file without a digest to compare."""
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, example())
    arrays, metadata = read_safetensors(io.BytesIO(path.read_bytes()), "c")
    written = metadata["minivgg"]
    path.write_bytes(safetensors_bytes(arrays, {"min" + written[:cut]: written[cut:]}))
    with pytest.raises(CheckpointError):
        load(path)
