"""What a configuration does to images before the network sees them, in this order:

    Rescale              to a shortest side of `scale`, of files otherwise of `image_size`; fixed, or drawn for each image and use
    Crop                 of image_size × image_size at a random place, in images that are too small with black around them; or,
    RandomResizedCrop    in place of both, of a random part, scaled to image_size × image_size
    Mirror               left to right
    Normalise            by the training images' own mean and deviation, by their mean alone in units of 0..255, or by numbers given;
                         three of these are averaged for grey images
    ColourShift          along the training images' own principal axes of colour; fitted in 0..1, and as large in the units that are now
    CutOut               of a square, set to the mean

Evaluation has no randomness: the middle scale, the centre, no mirror, shift or square.
"""

from __future__ import annotations

import math

from .. import data
from ..errors import ConfigError
from .config import TrainConfig
from .rules import normalise_numbers

__all__ = ["describe", "preprocessing", "scales"]


def scales(config: TrainConfig) -> tuple[int, int] | None:
    """(S_min, S_max) of the shortest side that images are rescaled to, in pixels; None if `scale` is empty."""
    low, _, high = config.scale.partition("-")
    return (int(low), int(high or low)) if low else None


def preprocessing(config: TrainConfig, dataset: data.LabelledImages) -> data.Transform:
    """The transform of `config` for images such as the training set's, with the statistics of `dataset`, the training set.

    Raises ConfigError where the crop is larger than what rescaling leaves, or so much smaller that it shows little of an image, or
    where the blanked square is larger than the crop, or numbers of `normalise` are for another count of channels.
    DataError, with the path, for a file that is no sound image.
    """
    size, scaled = config.image_size, scales(config)
    if scaled and size > scaled[0]:
        raise ConfigError(
            f"--image-size {size} needs a scale of at least {size}, but --scale {config.scale} makes images with a shortest side of "
            f"{scaled[0]}: raise --scale to {size} or more, or lower --image-size."
        )
    if config.cutout > size:
        raise ConfigError(f"--cutout {config.cutout} blanks more than images of {size}×{size} have: lower it to {size // 2} or less.")
    geometry = _random_part(config, scaled) if config.random_resized else _crop(config, scaled, dataset.shape)
    mirror = [data.Mirror()] if config.mirror else []
    return data.Compose((*geometry, *mirror, *_colour(config, dataset)))


def _random_part(config: TrainConfig, scaled: tuple[int, int] | None) -> list[data.Transform]:
    """A random part in training, the centre at the middle scale in evaluation."""
    return [data.RandomResizedCrop(config.image_size, sum(scaled) // 2 if scaled else config.image_size)]


def _crop(config: TrainConfig, scaled: tuple[int, int] | None, shape: tuple[int | None, int | None, int]) -> list[data.Transform]:
    """Rescale and crop, as far as images of `shape` need it. A margin of `shift` pixels on each side is what a random crop can move in."""
    size, (height, width, _) = config.image_size, shape
    steps: list[data.Transform] = []
    if height is None or width is None or scaled:
        low, high = scaled or (size, size)
        steps.append(data.Rescale(low, high))
        height = width = low
    shortest = min(height, width)
    if size * 4 < shortest:
        made = f"rescaled to a shortest side of {shortest}" if steps else f"of {height}×{width}"
        scale = "lower --scale" if steps else f"rescale the images (--scale {size})"
        raise ConfigError(
            f"images {made} and cropped to {size}×{size} would show little of themselves. "
            f"Set image_size nearer to {shortest} (--image-size), or {scale}."
        )
    padding = max(0, math.ceil((size - shortest) / 2) + config.shift)
    if padding or (height, width) != (size, size) or steps:
        steps.append(data.Crop(size, padding))
    return steps


def _colour(config: TrainConfig, dataset: data.LabelledImages) -> list[data.Transform]:
    """From pixels to what the network sees."""
    found = data.colours(dataset) if config.colour_shift or config.normalise in {"std", "mean"} else None
    mean, unit = _numbers(config.normalise, dataset.shape[2], found)
    steps: list[data.Transform] = [data.Normalise(mean, unit)]
    if config.colour_shift and found:
        steps.append(data.ColourShift(found.vectors, found.values, config.colour_shift, unit))
    if config.cutout:
        steps.append(data.CutOut(config.cutout))
    return steps


def _numbers(normalise: str, channels: int, found: data.Colours | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is subtracted from each channel, and what it is divided by."""
    if found and normalise in {"std", "mean"}:
        return found.mean, found.std if normalise == "std" else (1 / 255,) * channels
    given = normalise_numbers(normalise)
    count = len(given[0])
    if channels == 1 < count:
        mean, std = (sum(values) / count for values in given)
        return (mean,), (std,)
    if channels != count:
        raise ConfigError(
            f'normalise = "{normalise}" has numbers for {count} channel(s), but the images have {channels}. '
            f"Give {channels} means and {channels} deviations, or read the images with as many channels (--grey for one)."
        )
    return given


def describe(transform: data.Transform) -> str:
    """A line about what `transform` does to training images, colours in grey levels of 255."""
    steps = transform.steps if isinstance(transform, data.Compose) else (transform,)
    return ", ".join(_describe(step) for step in steps) or "nothing"


def _describe(step: data.Transform) -> str:
    match step:
        case data.Rescale(low, high):
            return f"rescale to {low}" if low == high else f"rescale to {low}-{high}"
        case data.Crop((height, width), padding):
            return f"crop {height}×{width}" + (f" of {padding} pixels more around" if padding else "")
        case data.RandomResizedCrop(size, _, area, _):
            return f"{area[0]:.0%} to {area[1]:.0%} of the area as {size}×{size}"
        case data.Mirror():
            return "mirror"
        case data.Normalise(mean, std):
            return f"minus {_levels(mean)}, divided by {_levels(std)}"
        case data.ColourShift(_, values, std, _):
            return f"colours shifted by ±{_levels(tuple(std * value for value in values))}"
        case data.CutOut(size):
            return f"a square of {size} blanked"
        case _:
            return step.kind


def _levels(values: tuple[float, ...]) -> str:
    return " ".join(f"{255 * value:.1f}" for value in values)
