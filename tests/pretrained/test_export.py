"""`pretrained.export`: the file that other programs get of a model, and how it is compared with the model."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnx
import pytest

import minivgg as mv
from minivgg import data, models, nn
from minivgg.errors import ConfigError, MinivggError, NumericalError
from minivgg.pretrained import agreement, export, preparation

CAFFE = preparation("caffe").transform(32)
DRAWS = data.Draws(0, 0, np.zeros(2, np.int64), training=False)


def network(name: str = "vgg11_bn", **options: Any) -> Any:
    """A narrow one in evaluation, with random biases, scales and running statistics."""
    model = models.build(name, **{"num_classes": 4, "image_size": 32, "width": 1 / 16, "head": "linear", **options})
    rng = np.random.default_rng(0)
    for key, array in model.state_dict().items():
        if array.ndim == 1:
            array[...] = rng.uniform(0.5, 1.5, array.shape) if key.endswith(("weight", "var")) else rng.normal(0, 0.2, array.shape)
    return model.eval()


def texts(content: bytes) -> dict[str, Any]:
    """The metadata of a file, from JSON."""
    return {entry.key: json.loads(entry.value) for entry in onnx.load_from_string(content).metadata_props}


def test_the_file_says_how_images_are_prepared_and_what_the_classes_are() -> None:
    """The metadata has the transform, of which `from_json` makes an equal one, and the classes; the description has mean and std."""
    made = export(network(), CAFFE, ("ä", "b", "c", "d"))
    assert made.difference is not None and 0 < made.difference <= 1e-5
    found = texts(made.file.content)
    assert data.from_json(found["minivgg.preprocessing"]) == CAFFE and found["classes"] == ["ä", "b", "c", "d"]
    assert "RGB, of values p in 0..255 (p / 255 - mean) / std with mean [0.485" in onnx.load_from_string(made.file.content).doc_string


def test_with_the_preparation_inside_pixels_give_the_models_scores() -> None:
    """A file that normalises itself gives for pixels 0..255 the logits of the normalised image, and its metadata normalise no more."""
    model = network()
    made = export(model, CAFFE, prepared=True)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    seen: Any = CAFFE.steps[-1](pixels, DRAWS)
    with mv.no_grad():
        wanted = model(mv.Tensor(np.ascontiguousarray(seen.transpose((0, 3, 1, 2))))).numpy()
    found = agreement.scores_of(made.file.content, pixels.transpose((0, 3, 1, 2)).astype(np.float32))
    assert found is not None and np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert np.ptp(wanted, axis=0).max() > 1e-2 * np.abs(wanted).max()
    assert data.from_json(texts(made.file.content)["minivgg.preprocessing"]) == data.Compose(CAFFE.steps[:-1])


def test_grey_images_and_steps_of_training_behind_the_normalising() -> None:
    """A run's transform ends with a blanked square; evaluation has none, so that normalising grey pixels can still be included."""
    transform = data.Compose((data.Pad(2), data.Normalise((0.3,), (0.2,)), data.CutOut(8)))
    made = export(network(in_channels=1), transform, prepared=True)
    assert made.file.input == ("N", 1, 32, 32) and made.difference is not None
    assert data.from_json(texts(made.file.content)["minivgg.preprocessing"]) == data.Compose((data.Pad(2), data.CutOut(8)))


def test_batch_norms_are_folded_where_asked() -> None:
    """The folded file has eight nodes fewer, none of them a batch norm, and the model keeps its own."""
    model = network()
    plain, folded = export(model), export(model, fold=True)
    assert (plain.file.nodes, folded.file.nodes) == (32, 24)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32)
    one, other = (agreement.scores_of(made.file.content, x) for made in (plain, folded))
    assert one is not None and other is not None and np.abs(one - other).max() <= 1e-5 * np.abs(one).max()
    assert "features.1.running_mean" in model.state_dict()


def test_forms_and_sizes() -> None:
    """By default a VGG's own size, and any for its dense form; a chain must be told; with softmax and all, the scores agree."""
    vgg = network("vgg16_1x1", image_size=64, head="paper")
    assert export(vgg).file.input == ("N", 3, 64, 64)
    dense = export(vgg, CAFFE, dense=True, softmax=True, prepared=True)
    assert dense.file.input == ("N", 3, "height", "width") and dense.file.output == ("N", 4, "rows", "columns")
    assert dense.difference is not None and dense.difference <= 1e-5
    assert export(vgg, dense=True, image_size=96).file.output == ("N", 4, 2, 2)
    assert export(models.dense(vgg), image_size=64).file.output == ("N", 4, 1, 1)
    assert export(vgg, image_size=128).file.nodes == export(vgg).file.nodes + 1  # 4×4 cells are averaged to 2×2
    chain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ConfigError, match="give image_size, in pixels"):
        export(chain)
    with pytest.raises(ConfigError, match="leave out --dense"):
        export(chain, dense=True)
    with pytest.raises(ConfigError, match=r"2×2 cells of a map of \?×\?.*--dense"):
        export(vgg, image_size="any")


def test_a_file_that_says_something_else_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logit that is off by a ten-thousandth of the largest is an error, and so is a probability that is off by a hundredth."""
    true = agreement.scores_of

    def wrong(content: bytes, images: Any) -> Any:
        scores = np.array(true(content, images))
        scores[0, 0] += (1e-2 if softmax else 1e-4) * np.abs(scores).max()
        return scores

    monkeypatch.setattr(agreement, "scores_of", wrong)
    for softmax in (False, True):
        with pytest.raises(MinivggError, match=r"differ from the network's by .* of the largest, more than 1e-05"):
            export(network(), softmax=softmax)


def test_scores_that_float32_cannot_tell_are_no_mistake() -> None:
    """Filters whose weights add up to 0 are applied to values near 1000: the scores are small differences, beyond 1e-5 and accepted."""
    chain = nn.Sequential(nn.Affine(2), nn.Conv2d(2, 8, 16), nn.Flatten()).eval()
    arrays = chain.state_dict()
    arrays["0.bias"][...] = 1000
    arrays["1.weight"][...] -= arrays["1.weight"].mean((1, 2, 3), keepdims=True)
    made = export(chain, image_size=16)
    assert made.difference is not None and 1e-5 < made.difference < 1e-2
    assert export(nn.Sequential(chain[1], nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), image_size="any").file.input[2:] == (
        "height",
        "width",
    )


def test_without_onnxruntime_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the same, and `difference` says that it was not compared."""
    compared = export(network())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    made = export(network())
    assert made.difference is None and made.file == compared.file


def test_networks_that_cannot_be_exported() -> None:
    """One in training, one whose scores are NaN, one that normalises nothing or pads behind it."""
    with pytest.raises(ConfigError, match=r"model.eval\(\)"):
        export(network().train())
    broken = network()
    broken.state_dict()["classifier.bias"][0] = np.nan
    with pytest.raises(NumericalError, match="NaN or Inf"):
        export(broken)
    for steps in ((), (*CAFFE.steps, data.Pad(2))):
        with pytest.raises(ConfigError, match="does not end with normalising"):
            export(network(), data.Compose(steps), prepared=True)
    with pytest.raises(ConfigError, match="has no convolution"):
        export(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), image_size=2)
