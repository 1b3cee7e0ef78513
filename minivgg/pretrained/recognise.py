"""Which of this package's networks a file's arrays are of, by their names and shapes alone.

Each convention and each network is tried; the one with the fewest arrays missing, left over or of another shape is taken, the first of
equals. Where layers are numbered, a normalisation counts as one; under the paper's names A-LRN has A's arrays, and is only found where it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .. import models
from ..backend.arrays import Array
from .conventions import CONVENTIONS, Convention, Place
from .shapes import Shape, Sizes, shapes_of, sizes_of
from .turning import Storage

__all__ = ["Fit", "assess", "candidates", "without_prefix"]

_PREFIXES = ("module.", "model.", "_orig_mod.", "backbone.", "net.")
_WRAPPERS = 8  # one in another
_NOT_NEEDED = "num_batches_tracked"  # files older than it lack it; nothing is computed with it


@dataclass(frozen=True)
class Fit:
    """How well arrays fit a network.

    places     of the arrays that fit, by their names in the file
    missing    names here of arrays that the file lacks
    left_over  names in the file of arrays that are no part of the network
    wrong      a text for each array of a wrong shape or dtype
    biases     whether the convolutions lack their biases, as they can behind batch norm, and get zeros
    """

    origin: str
    model: str
    head: str
    sizes: Sizes
    storage: Storage
    places: Mapping[str, Place]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    wrong: tuple[str, ...]
    convention: Convention | None = None
    biases: bool = True
    shapes: Mapping[str, Shape] = field(default_factory=dict)  # of all arrays of the network, by their names here

    @property
    def cost(self) -> int:
        """How many arrays are not as they should be; missing ones count twice, so that the smaller of two networks is nearer."""
        return 2 * len(self.missing) + len(self.left_over) + len(self.wrong)

    def lacks(self, features: bool) -> list[str]:
        """What is missing or wrong, of the features or of the classifier, a text each."""
        names = [*self.missing, *self.wrong]
        return [name for name in names if name.startswith("classifier") != features]


def without_prefix(names: Iterable[str]) -> str:
    """The prefix, such as "module.model.", that all names share and that wrappers put before them; "" if there is none."""
    names, prefix = list(names), ""
    for _ in range(_WRAPPERS if names else 0):
        found = next((known for known in _PREFIXES if all(name.startswith(prefix + known) for name in names)), "")
        if not found:
            break
        prefix += found
    return prefix


def candidates(arrays: Mapping[str, Array], model: str = "") -> list[Fit]:
    """How the arrays fit each network (or the one named), the best first; empty if no convention has any of their names."""
    names = [model] if model else list(models.MODELS)
    found = []
    for convention in CONVENTIONS:
        known = set().union(*(convention.places(name, head) for name in names for head in ("paper", "linear")))
        if not known.isdisjoint(arrays):
            inside = {name: array for name, array in arrays.items() if name in known}
            others = tuple(name for name in arrays if name not in known)
            for name in names:
                for head in ("paper", "linear", ""):
                    places = convention.places(name, head)
                    found.append(assess(inside, convention.name, name, head, places, convention.storage, convention, others))
    return sorted(found, key=lambda fit: fit.cost)


def assess(
    arrays: Mapping[str, Array],
    origin: str,
    model: str,
    head: str,
    places: Mapping[str, Place],
    storage: Storage,
    convention: Convention | None = None,
    others: tuple[str, ...] = (),
) -> Fit:
    """How the arrays fit `model` with that head, if those named in `places` belong where it says. `others`: more that are left over."""
    taken = {name: place for name, place in places.items() if name in arrays}
    turned = {
        place.ours: storage.shape(arrays[name].shape, place.layer, place.ours.rpartition(".")[2]) for name, place in taken.items()
    }  # fmt: skip
    sizes = sizes_of(model, head, {name: shape for name, shape in turned.items() if len(shape) in {2, 4}})
    shapes = shapes_of(model, head, sizes)
    wrong = []
    for name, place in list(taken.items()):
        array, expected = arrays[name], shapes[place.ours]
        counter = place.ours.endswith(_NOT_NEEDED)
        if turned[place.ours] != expected or 0 in expected or (array.dtype.kind not in ("iuf" if counter else "f")):
            wrong.append(f"{place.ours} needs {expected} {'integers' if counter else 'floats'}, but {name} is {array.shape} {array.dtype}")
            del taken[name]
    biases = {f"{modules[0]}.bias" for modules in models.blocks(model).values() if modules[0].startswith("features")}
    bare = model.endswith("_bn") and biases.isdisjoint(turned)
    missing = tuple(
        name for name in shapes if name not in turned and not name.endswith(_NOT_NEEDED) and not (bare and name in biases)
    )  # fmt: skip
    left_over = tuple(name for name in arrays if name not in places) + others
    return Fit(origin, model, head, sizes, storage, taken, missing, left_over, tuple(wrong), convention, not bare, shapes)
