"""Files of torch.save, read without torch: their arrays bit by bit, and every foreign or damaged one refused in one line."""

from __future__ import annotations

import ast
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minivgg
from minivgg import weights
from minivgg.errors import CheckpointError
from tests.weights.sample_torch import (
    FILES,
    MAGIC,
    counts,
    expected,
    legacy,
    number,
    old,
    samples,
    stored,
    table,
    tensor,
    text,
    zipped,
)

ONE = tensor(stored(2), (2,), (1,))
TWO_FLOATS = {"0": np.array([1, 2], "<f4").tobytes()}


@pytest.fixture
def load(tmp_path):
    """The arrays of a file with the given contents."""

    def load(content):
        (path := tmp_path / "a.pth").write_bytes(content)
        return weights.load(path)

    return load


@pytest.fixture
def refused(tmp_path, load):
    """The message with which a file is refused, without its path, with which it begins."""

    def refused(content):
        with pytest.raises(CheckpointError) as caught:
            load(content)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'a.pth'}: ") and message.isprintable() and len(message) < 1000
        return message.removeprefix(f"{tmp_path / 'a.pth'}: ")

    return refused


@pytest.mark.parametrize("name", ["small_zip.pth", "small_legacy.pth"])
def test_arrays_are_torchs(name):
    """Views, turned and expanded tensors, channels-last ones, shared storage, eight dtypes, a single number, none: torch's own values."""
    found, wanted = weights.load(FILES / name), expected()
    assert list(found) == list(wanted)
    for key, array in wanted.items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape and found[key].tobytes() == array.tobytes(), key
        assert found[key].flags.c_contiguous and found[key].flags.writeable


def test_tensors_that_are_one_are_read_once():
    """Two names of one tensor: one array, so that tied weights cost no memory; a view of it has its own."""
    found = weights.load(FILES / "small_zip.pth")
    assert found["whole"] is found["again"] and not np.shares_memory(found["whole"], found["rows"])


def test_tensors_are_found_in_a_checkpoint():
    """Epoch, rate, history and a tensor of its own beside the table: the table alone is taken, and the metadata says from where."""
    found, metadata = weights.read(FILES / "small_checkpoint.pth")
    assert metadata == {"taken_from": "state_dict"}
    assert {name: array.tolist() for name, array in found.items()} == {"w": [1, 1], "u": [65535]}


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "net", "weights"])
def test_the_usual_names_of_a_table_are_known(tmp_path, name):
    """Before tensors of other names: sizes, devices, dtypes and numbers are no obstacle."""
    other = {"size": b"ctorch\nSize\n(K\x02tR", "device": b"ctorch\ndevice\n" + text("cpu") + b"\x85R", "dtype": b"ctorch\nfloat32\n"}
    content = zipped(table(average=ONE, **other, **{name: b"}" + text("w") + ONE + b"s"}), TWO_FLOATS)
    (path := tmp_path / "a.pt").write_bytes(content)
    found, metadata = weights.read(path)
    assert list(found) == ["w"] and found["w"].tolist() == [1, 2] and metadata == {"taken_from": name}


def test_old_files_are_read(load):
    """Python 2's byte strings and pairs, parameters as objects, views of storages: torch 2.14.1 reads the same from these bytes."""
    found = load(old())
    assert {name: array.tolist() for name, array in found.items()} == {"w": [[1, 2], [3, 4]], "b": [3, 4, 5]}


def test_nothing_can_run():
    """The readers import neither pickle nor anything else that executes or imports by name, and call none of the built-ins that do."""
    allowed = {"__future__", "collections", "dataclasses", "errors", "math", "numpy", "opening", "struct", "typing", "zlib"}
    paths = sorted(Path(minivgg.__file__).parent.glob("weights/torch_*.py"))
    assert len(paths) == 6
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert all(name.split(".")[0] in allowed or name.startswith("torch_") for name in names), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "getattr", "globals", "__import__"}, path


FOREIGN = {
    "builtins.eval": b"cbuiltins\neval\n" + text("open('run', 'w')") + b"\x85R",
    "os.system": text("os") + text("system") + b"\x93" + text("touch run") + b"\x85R",
    "posix.system": b"(" + text("touch run") + b"iposix\nsystem\n",
    "torch._utils._rebuild_sparse_tensor": b"ctorch._utils\n_rebuild_sparse_tensor\n",
    "torch.load": b"ctorch\nload\n",
    "'a.\\x1b[31m\\xe9'": "ca\n\x1b[31mé\n".encode(),
}


@pytest.mark.parametrize("named", FOREIGN)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_foreign_name_is_refused_by_name(refused, monkeypatch, tmp_path, named, form):
    """Beside a good tensor, in both formats, by three instructions: the message names it, and nothing has run."""
    monkeypatch.chdir(tmp_path)
    pickle = table(w=ONE, x=FOREIGN[named])
    message = refused(zipped(pickle, TWO_FLOATS) if form == "zip" else legacy(pickle, {"0": (2, TWO_FLOATS["0"])}))
    assert message.startswith(f"names {named}, which no file of tensors needs")
    assert not (tmp_path / "run").exists()


def test_a_whole_model_is_refused_with_the_remedy(refused):
    """torch.save(model): its classes would be code; the message says how to save the tensors."""
    message = refused((FILES / "whole_model.pth").read_bytes())
    assert "torch.nn.modules.linear.Linear" in message and "torch.save(model.state_dict(), FILE)" in message


PICKLES = {
    "holds a table without tensors": table(a=b"N"),
    "holds a list": b"].",
    "empty stack": b".",
    "no mark": b"]e.",
    "empty stack in": b"](a.",
    "which it has not made": b"h\x07.",
    "no list": b"}Na.",
    "no table": b"]NNs.",
    "no function": b"NNR.",
    "calls something": b"ctorch\nFloatStorage\n)R.",
    "has none": b"N}b.",
    "no text": b"NN\x93.",
    "without an end": b"c" + b"a" * 2000,
    "not UTF-8": b"X\x01\x00\x00\x00\xff.",
    "ends within": b"X\xff\xff\xff\xff",
    "ends within its": b"\x8d" + b"\xff" * 8,
    "an integer of": b"\x8b\xff\xff\xff\x7f",
    "no storage of a tensor": b"NQ.",
    "without class or size": b"(" + text("storage") + b"N" + text("0") + b"NNtQ.",
    "without class or": table(w=tensor(b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + b"N" + number(-1) + b"tQ", (), ())),
    "two sizes": b"(" + stored(1) + stored(2) + b"t.",
    "view of storage": table(w=tensor(stored(2, view=b"(" + text("1") + b"K\x01K\x02t"), (1,), (1,))),
    "without a storage": table(w=b"ctorch._utils\n_rebuild_tensor\n(NNNNtR"),
    "no counts": table(w=tensor(stored(2), (2,), (-1,))),
    "are no counts": table(w=tensor(stored(2), (2, 1), (1,))),
    "offset, shape": table(w=tensor(stored(2), (2**2000,), (1,))),
    "stride are": table(w=tensor(stored(2), (1,) * 40, (1,) * 40)),
    "w float32 [2] with strides [1] ends at byte 12": table(w=tensor(stored(2), (2,), (1,), 1)),
    "w float32 [2] with strides [2] ends at": table(w=tensor(stored(2), (2,), (2,))),
    "ends at byte 4,611,686,018,427,387,904": table(w=tensor(stored(2), (2**59, 2), (1, 2**59))),
    "w is in storage 1": table(w=tensor(stored(2, "1"), (2,), (1,))),
    "w needs 16 bytes of storage, but 8": table(w=tensor(stored(4), (2,), (1,))),
    "no array has": table(w=tensor(stored(2), (0, 2**59, 2**59), (1, 1, 1))),
    "metadata": table(
        w=b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored(2) + b"K\x00K\x02\x85K\x01\x85\x89}}(" + text("conj") + b"\x88utR"
    ),
    "without a dtype": table(w=b"ctorch._utils\n_rebuild_tensor_v3\n(" + stored(2) + b"K\x00K\x02\x85K\x01\x85tR"),
    "a parameter without a tensor": table(w=b"ctorch.nn.parameter\nParameter\nN\x85R"),
    "instruction b'i'": b"(itorch\nSize\n.",
    "more than 150,000 values": b"N" * 150_001 + b".",
    "w float32 [268435456, 2] needs more memory than twice the file's size": table(w=tensor(stored(2), (2**28, 2), (0, 1))),
    "not printable": b"}" + text("a\nb") + ONE + b"s.",
}


@pytest.mark.parametrize("reason", PICKLES)
def test_a_malformed_pickle_is_refused(refused, reason):
    """Each rule of the machine and of tensors, broken once in a file that is whole otherwise; a tensor's message begins with its name."""
    assert reason in refused(zipped(PICKLES[reason], TWO_FLOATS))


def members(*names):
    """A zip with a good pickle, and members of these names."""
    return zipped(table(w=ONE), TWO_FLOATS, **dict.fromkeys(names, b""))


def changed(content, old, new):
    """The file with the last occurrence of some bytes replaced: in a zip, that of its directory."""
    at = content.rindex(old)
    return content[:at] + new + content[at + len(old) :]


GOOD = members("version")
with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:  # where its members' headers are, as its directory has it
    LOCAL = {member.filename: struct.pack("<L", member.header_offset) for member in archive.infolist()}
CONTAINERS = {
    "is no file of torch.save": b"",
    "is no file of torch": b"\x80\x02K\x01.",
    "protocol 1001": MAGIC.replace(b"M\xe9\x03", b"M\xe8\x03"),
    "before 0.1.10": bytes(257) + b"ustar" + bytes(250),
    "a zip without its end": GOOD[:-1],
    "without its end": GOOD + b"\n",
    "TorchScript": members("code/a.py"),
    "is a TorchScript": members("constants.pkl"),
    "0 members data.pkl": changed(GOOD, b"a/data.pkl", b"a/data.pkx"),
    "2 members data.pkl": members("b/data.pkl"),
    "little-endian": zipped(table(w=ONE), TWO_FLOATS, byteorder=b"big"),
    "no name within a folder": changed(GOOD, b"a/version", b"../versio"),
    "is no name within": changed(GOOD, b"a/version", b"/a/versio"),
    "no name within": changed(GOOD, b"a/version", b"c:\\versio"),
    "twice": changed(members("data/1"), b"a/data/1", b"a/data/0"),
    "a/version that lies over another": changed(GOOD, LOCAL["a/version"], LOCAL["a/data/0"]),
    "is compressed": GOOD[:-22].replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00")
    + GOOD[-22:],
    "another CRC": GOOD.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v1"),
    "w has the CRC": GOOD.replace(TWO_FLOATS["0"], bytes(8)),
    "claims": GOOD[:-10] + b"\xff\xff\xff\x0f" + GOOD[-6:],
    "larger than 4 GB": GOOD[:-6] + b"\xff\xff\xff\xff" + GOOD[-2:],
    "that is shorter": GOOD[:-12] + b"\xff\x00" + GOOD[-10:],
    "no tensor uses": legacy(table(w=ONE), {"0": (2, bytes(8)), "1": (0, b"")}),
    "storage 0 of 3": legacy(table(w=ONE), {"0": (3, bytes(12))}),
    "storage 0 of 2": legacy(table(w=ONE), {"0": (2, bytes(7))}),
    "behind its last": legacy(table(w=ONE), {"0": (2, bytes(9))}),
    "w is in storage 0, which the file lacks": legacy(table(w=ONE), {}),
    "distinct": legacy(table(w=ONE), {"0": (2, bytes(8))}).replace(b"](X\x01\x00\x00\x000e", b"](" + text("0") + text("0") + b"e"),
}


@pytest.mark.parametrize("reason", CONTAINERS)
def test_a_malformed_container_is_refused(refused, reason):
    """Zips that are cut, doubled, compressed, out of their folder, or of something else; old files whose storages do not add up."""
    assert reason in refused(CONTAINERS[reason])


@pytest.mark.parametrize("name", samples())
def test_a_cut_off_file_is_refused(refused, name):
    """Cut anywhere, no file gives arrays."""
    content = samples()[name]
    for length in range(0, len(content), 31):
        refused(content[:length])


def test_damage_in_a_zip_is_noticed(load):
    """Any bit turned within the bytes of a tensor: the CRC that torch wrote differs."""
    content = samples()["small_zip.pth"]
    begin = content.index(expected()["whole"].tobytes())
    for at in range(begin, begin + 96):
        with pytest.raises(CheckpointError, match="CRC"):
            load(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])


def test_random_damage_gives_arrays_or_a_line(load):
    """300 files with bytes changed, cut out or doubled: arrays, or a CheckpointError; no other exception, no warning."""
    rng = np.random.default_rng(0)
    contents = list(samples().values())
    read = 0
    for _ in range(300):
        content = bytearray(contents[rng.integers(len(contents))])
        for _ in range(rng.integers(1, 4)):
            first, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
            choice = rng.integers(3)
            if choice == 0:
                content[first : first + length] = rng.bytes(length)
            elif choice == 1:
                del content[first : first + length]
            else:
                content[first:first] = content[first : first + length]
        try:
            read += len(load(bytes(content))) > 0
        except CheckpointError as error:
            assert str(error).isprintable()
    assert read < 200


def test_torchs_integers_and_counts_are_pythons():
    """The oracle's own instructions: integers at the borders of a byte, by Python's pickle."""
    import pickle

    for value in (0, 127, 128, -129, 2**63, -(2**63)):
        assert pickle.loads(b"\x80\x02" + number(value) + b".") == value
    assert pickle.loads(b"\x80\x02" + counts((3, 300)) + b".") == (3, 300)
