"""Every averaging rule against a loop that takes one view at a time, in the words of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import minivgg as mv
from minivgg import data, models
from minivgg.data import Crop, Mirror, Rescale, rescale
from minivgg.errors import ConfigError, DataError, NumericalError, OutOfMemoryError
from minivgg.evaluation.posteriors import fuse, posteriors
from minivgg.train import evaluate
from minivgg.train.build import evaluation_loader

SCALES = (36, 32)
BOUND = 2e-6  # posteriors: float32 logits of some size, computed in other batches


def softmax(logits):
    """e^z / Σ e^z of one vector."""
    e = np.exp(logits.astype(np.float64) - logits.max())
    return e / e.sum()


def said(network, pictures):
    """What a network says of uint8 pictures (H, W, C) of one size, normalised as the fixture does."""
    x = ((np.stack(pictures) / 255 - 0.4) / 0.25).astype(np.float32)
    with mv.no_grad():
        return network(mv.Tensor(x.transpose(0, 3, 1, 2))).data


def dense_rule(model, scaled, flips):
    """The class score map of the whole image averaged over space, then soft-max; image and mirror image averaged."""
    network, found = models.dense(model), []
    for score_map in said(network, (scaled, scaled[:, ::-1])[:flips]):  # (K, h, w)
        _, height, width = score_map.shape
        total = np.zeros(3)
        for i in range(height):
            for j in range(width):
                total += score_map[:, i, j] / (height * width)
        found.append(softmax(total))
    return sum(found) / flips


def crops_rule(model, scaled, flips):
    """Soft-max outputs of 5×5 crops in a regular grid, and of their mirror images, averaged."""
    pictures = []
    for i in range(5):
        for j in range(5):
            top, left = int(i * (scaled.shape[0] - 32) / 4 + 0.5), int(j * (scaled.shape[1] - 32) / 4 + 0.5)
            crop = scaled[top : top + 32, left : left + 32]
            pictures += [crop, crop[:, ::-1]][:flips]
    assert len(pictures) == 25 * flips
    return sum(softmax(logits) for logits in said(model, pictures)) / len(pictures)


def center_rule(model, scaled, flips):
    """The crop at the centre."""
    top, left = (scaled.shape[0] - 32) // 2, (scaled.shape[1] - 32) // 2
    crop = scaled[top : top + 32, left : left + 32]
    return sum(softmax(logits) for logits in said(model, (crop, crop[:, ::-1])[:flips])) / flips


def both_rule(model, scaled, flips):
    """The mean of dense and multi-crop."""
    return (dense_rule(model, scaled, flips) + crops_rule(model, scaled, flips)) / 2


RULES = {"center": center_rule, "dense": dense_rule, "multi-crop": crops_rule, "both": both_rule}


@pytest.mark.parametrize("protocol", RULES)
@pytest.mark.parametrize("flip", [True, False])
def test_a_protocol_is_its_rule_scale_by_scale(predictor, dataset, protocol, flip):
    """Two scales, their posteriors averaged; files' preprocessing; batches of two."""
    made, images = predictor(Rescale(32, 40), Crop(32, 1), Mirror(), batch_size=2), dataset(2)
    scored = posteriors(made, images, protocol, SCALES, flip)
    for k, image in enumerate(images.images):
        expected = sum(RULES[protocol](made.model, rescale(image, side), 1 + flip) for side in SCALES) / len(SCALES)
        assert np.abs(scored.probabilities[k] - expected).max() < BOUND
    assert np.abs(scored.probabilities - scored.probabilities[0]).max() > 1e-3  # the network tells them apart
    assert scored.labels.tolist() == [0, 1] and scored.classes == made.classes and scored.names == ("0", "1")
    assert scored.protocol == f"{protocol}, scales 36 32{', mirrored' if flip else ''}"


@pytest.mark.parametrize("head, name", [("linear", "vgg11_bn"), ("paper", "vgg11_lrn")])
def test_other_networks_follow_the_same_rules(predictor, dataset, head, name):
    """One linear layer, whose map is averaged; local response normalisation; grey images padded in memory."""
    made, images = predictor(Crop(32, 3), shape=(28, 28, 1), head=head, name=name), dataset(2, 28, 28, 1)
    scored = posteriors(made, images, "both")
    for k, image in enumerate(images.images):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        assert np.abs(scored.probabilities[k] - both_rule(made.model, padded, 2)).max() < BOUND


def test_the_default_is_what_training_validates_with(predictor, dataset):
    """Center, one scale, no mirror image: the accuracy and the loss that `train.evaluate` finds through the run's transform."""
    made, images = predictor(Crop(32, 3), shape=(28, 28, 1), batch_size=4), dataset(7, 28, 28, 1)
    scored = posteriors(made, images)
    expected = evaluate(made.model, evaluation_loader(images, 4, made.transform, 0))
    truth = scored.probabilities[np.arange(7), images.labels]
    assert scored.protocol == "center, scale 32"
    assert (scored.probabilities.argmax(1) == images.labels).sum() == expected.correct
    assert -np.log(truth).mean() == pytest.approx(expected.loss, rel=1e-5)


def photographs(folder, sizes):
    """PNG files of these sizes in classes a, b, c by turns, and the arrays in them by path."""
    arrays, rng = {}, np.random.default_rng(0)
    for k, (height, width) in enumerate(sizes):
        path = folder / "abc"[k % 3] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays[f"{path.parent.name}/{path.name}"] = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(arrays[f"{path.parent.name}/{path.name}"]).save(path)
    return arrays


def test_files_of_any_size_keep_their_order(predictor, tmp_path):
    """Equal sizes are computed together, results are in the data's order and under the files' names; bands change nothing."""
    arrays = photographs(tmp_path, [(40, 60), (60, 40), (33, 200), (60, 40), (40, 60)])
    made = predictor(Rescale(32, 40), Crop(32, 1))
    images = data.parts(tmp_path).train
    scored = posteriors(made, images, "dense", "multi")
    assert scored.protocol == "dense, scales 32 36 40, mirrored" and scored.names == images.paths and len(scored.names) == 5
    for k, path in enumerate(images.paths):
        expected = sum(dense_rule(made.model, rescale(arrays[path], side), 2) for side in (32, 36, 40)) / 3
        assert np.abs(scored.probabilities[k] - expected).max() < BOUND
    bands = posteriors(made, images, "dense", "multi", memory=300_000)
    assert np.abs(bands.probabilities - scored.probabilities).max() < BOUND


def test_several_networks_are_the_mean_of_their_posteriors(predictor, dataset):
    """Two networks; one alone is itself."""
    images, scored = dataset(4), []
    for seed, steps in ((0, (Rescale(36, 36), Crop(32))), (1, (Rescale(32, 32), Crop(32)))):
        scored.append(posteriors(predictor(*steps, seed=seed), images, "center"))
    both = fuse(scored)
    for k in range(4):
        assert np.allclose(both.probabilities[k], (scored[0].probabilities[k] + scored[1].probabilities[k]) / 2, rtol=1e-15)
    assert both.protocol == "mean of 2 runs: center, scale 36; center, scale 32" and fuse(scored[:1]) is scored[0]
    with pytest.raises(DataError, match="only scores of the same images"):
        fuse([scored[0], posteriors(predictor(Rescale(36, 36), Crop(32)), dataset(5), "center")])


def test_wrong_questions_are_refused(predictor, dataset):
    """An unknown protocol, other channels, classes that are missing, strange, or in another order."""
    made, images = predictor(Rescale(36, 36), Crop(32)), dataset(3)
    with pytest.raises(ConfigError, match='unknown protocol "dens": did you mean dense'):
        posteriors(made, images, "dens")
    with pytest.raises(DataError, match=r"noise has 1 channel\(s\), but the model was trained on 3"):
        posteriors(made, dataset(3, 40, 40, 1))
    for classes, message in (
        (("a", "b", "d"), "it lacks c; the model does not know d"),
        (("a", "b", "c", "d"), "the 4 classes a, b, c, …, .* the model does not know d"),
        (("b", "a", "c"), "their order differs. Name or arrange"),
    ):
        with pytest.raises(DataError, match=message):
            posteriors(made, data.Dataset(images.images, images.labels, classes, "noise"))


def test_an_image_that_cannot_be_scaled_is_named(predictor, tmp_path):
    """A strip of one pixel's height, which would be 16 million pixels long at a scale of 256."""
    photographs(tmp_path, [(40, 40), (40, 40), (1, 60000)])
    with pytest.raises(DataError, match=r"/c/02\.png: .*1×60000"):
        posteriors(predictor(Rescale(36, 36), Crop(32)), data.parts(tmp_path).train, "center", "256")


def test_too_little_memory_and_a_diverged_network_are_refused(predictor, dataset):
    """Exit codes 6 and 5, with the sizes, and with the image."""
    made, images = predictor(Rescale(36, 36), Crop(32)), dataset(3)
    with pytest.raises(OutOfMemoryError, match=r"36×45 needs about .* only 1 kB"):
        posteriors(made, images, "dense", memory=1000)
    made.model.classifier[6].bias.data[...] = np.inf
    with np.errstate(all="ignore"), pytest.raises(NumericalError, match="noise, image 0, are not finite"):
        posteriors(made, images)
