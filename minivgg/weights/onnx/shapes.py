"""Operators that change shapes, and the arithmetic of sizes that exporters put around a flatten.

torch writes `x.view(x.size(0), -1)` as Shape → Gather 0 → Unsqueeze → Concat with −1 → Reshape, tf2onnx as Shape → Gather of the axes in
TensorFlow's order → Cast → Slice of the first → Concat → Cast → Reshape. Here Shape gives a number for each known size and a letter for an
open one, the others pick from them, and Reshape sees whether (N, rest) comes out.
"""

from __future__ import annotations

import math

from .step import Constant, Flow, Sizes, Step, Value
from .tensors import FLOATS, Stored

__all__ = [
    "concat", "constant", "flatten", "gather", "identity", "product", "reshape", "shape", "slice_", "squeeze", "transpose", "unsqueeze",
]  # fmt: skip

_WHOLE = {6, 7}
_MOST = 64  # sizes in one list


def constant(step: Step) -> Constant | Sizes:
    """Constant: a tensor, or numbers."""
    if len(step.node.attributes) != 1:
        raise step.error("has no value, or several")
    ((key, value),) = step.node.attributes.items()
    if isinstance(value, Stored):
        return Constant(value, value.shape)
    numbers = value if isinstance(value, tuple) else (value,)
    if len(numbers) > _MOST or key not in {"value_int", "value_ints", "value_float", "value_floats"}:
        raise step.error(f"has {len(numbers)} values as {key}; that cannot be read")
    form = (len(numbers),) if isinstance(value, tuple) else ()
    if all(isinstance(number, int) for number in numbers):
        return Sizes(tuple(int(number) for number in numbers), single=not form)
    return Constant(Stored(step.node.label, form, 1, values=tuple(float(number) for number in numbers)), form)


def identity(step: Step) -> Value:
    """Identity of anything; Cast of numbers to numbers of the same sort."""
    value, to = step.inputs[0], step.setting("to", int) if step.node.operator == "Cast" else 0
    if value is None:
        raise step.error("has no input")
    if to and isinstance(value, Flow):
        step.flow()
    whole = isinstance(value, Sizes) or (isinstance(value, Constant) and not value.stored.floating)
    if (to or step.node.operator == "Cast") and to not in (_WHOLE if whole else FLOATS):
        raise step.error(f"makes numbers of ONNX's type {to} of others, which cannot be read")
    return value  # type: ignore[no-any-return]


def shape(step: Step) -> Sizes:
    """Shape of what comes from the image, at any place."""
    value, start, end = step.inputs[0], step.setting("start", int), step.setting("end", int)
    if not isinstance(value, Flow):
        raise step.error("is of a constant")
    return Sizes(value.sizes[start : end if "end" in step.node.attributes else None])


def gather(step: Step) -> Sizes:
    """Gather of some sizes."""
    data, indices = step.sizes(0), step.sizes(1)
    if step.setting("axis", int) not in {0, -1} or data.single:
        raise step.error("gathers from more than a list of sizes")
    rank = len(data.values)
    if not all(isinstance(index, int) and -rank <= index < rank for index in indices.values):
        raise step.error(f"has indices {list(indices.values)} into {rank} sizes")
    return Sizes(tuple(data.values[int(index)] for index in indices.values), indices.single)


def slice_(step: Step) -> Sizes:
    """Slice of a list of sizes."""
    data = step.sizes(0)
    starts, ends = step.axes(1, "starts"), step.axes(2, "ends")
    axes = step.axes(3) or (0,)
    steps = step.axes(4, "steps") or (1,)
    if data.single or len(starts) != 1 or len(ends) != 1 or axes not in {(0,), (-1,)} or steps != (1,):
        raise step.error(f"takes {list(starts)} to {list(ends)} of axes {list(axes)}; only a part of a list of sizes can be read")
    return Sizes(data.values[starts[0] : ends[0]])


def concat(step: Step) -> Sizes:
    """Concat of lists of sizes."""
    parts = [step.sizes(index) for index in range(len(step.inputs))]
    values = tuple(value for part in parts for value in part.values)
    if any(part.single for part in parts) or step.setting("axis", int) not in {0, -1} or len(values) > _MOST:
        raise step.error("joins more than lists of sizes")
    return Sizes(values)


def product(step: Step) -> Sizes:
    """Mul of two sizes."""
    a, b = step.sizes(0), step.sizes(1)
    if len(a.values) != 1 or len(b.values) != 1:
        raise step.error("multiplies constants that are no single sizes")
    x, y = a.values[0], b.values[0]
    made = x * y if isinstance(x, int) and isinstance(y, int) and abs(x * y) < 1 << 62 else "?"
    return Sizes((made,), a.single and b.single)


def transpose(step: Step) -> Flow | Constant:
    """Transpose of the image's axes, or of a matrix of constants."""
    value, order = step.inputs[0], step.setting("perm", tuple)
    if isinstance(value, Constant):
        if len(value.shape) != 2 or order not in {(), (1, 0)}:
            raise step.error(f"has perm {list(order)} of constants {list(value.shape)}; only matrices can be transposed")
        return Constant(value.stored, value.shape[::-1], not value.transposed)
    step.flow()
    step.demand(step.chain.transpose(order))
    return step.onward()


def flatten(step: Step) -> Flow:
    """Flatten to (N, everything else) → flatten."""
    step.flow()
    if step.setting("axis", int) not in {1, 1 - len(step.chain.letters)}:
        raise step.error(f"has axis {step.setting('axis', int)}; only 1, which keeps the images apart, can be read")
    step.demand(step.chain.flatten())
    return step.onward()


def squeeze(step: Step) -> Value:
    """Squeeze of H and W where they are 1, of constants, or of one size."""
    value = step.inputs[0]
    if isinstance(value, Sizes):
        if len(value.values) != 1:
            raise step.error("takes an axis from a list of sizes")
        return Sizes(value.values, single=True)
    axes = step.axes()
    if isinstance(value, Constant):
        gone = {axis % len(value.shape) for axis in axes if -len(value.shape) <= axis < len(value.shape)}
        kept = tuple(size for axis, size in enumerate(value.shape) if axis not in gone and (axes or size != 1))
        return _reformed(step, value, kept)
    step.flow()
    step.demand(step.chain.squeeze(axes))
    return step.onward()


def unsqueeze(step: Step) -> Value:
    """Unsqueeze: H and W come back, constants get axes of 1, a size becomes a list."""
    value, axes = step.inputs[0], step.axes()
    if isinstance(value, Sizes):
        if not value.single or axes not in {(0,), (-1,)}:
            raise step.error("adds an axis to a list of sizes")
        return Sizes(value.values)
    if isinstance(value, Constant):
        rank = len(value.shape) + len(axes)
        places, old = {axis + rank if axis < 0 else axis for axis in axes}, iter(value.shape)
        if not axes or rank > 8 or len(places) < len(axes) or not all(0 <= place < rank for place in places):
            raise step.error(f"adds the axes {list(axes)} to constants {list(value.shape)}")
        return _reformed(step, value, tuple(1 if place in places else next(old) for place in range(rank)))
    step.flow()
    step.demand(step.chain.unsqueeze(axes))
    return step.onward()


def reshape(step: Step) -> Value:
    """Reshape to (N, everything else) → flatten; (N, C) to (N, C, 1, 1) as Unsqueeze; of constants to fixed sizes."""
    value, target = step.inputs[0], step.sizes(1)
    sizes = target.values if not target.single else ()
    if isinstance(value, Sizes):
        if sizes not in {(-1,), (len(value.values),)}:
            raise step.error("gives a list of sizes another shape")
        return Sizes(value.values)
    if step.setting("allowzero", int) and 0 in sizes:
        raise step.error("has allowzero with a size of 0")
    if isinstance(value, Constant):
        fixed = [size for size in sizes if isinstance(size, int) and size != -1]
        count, rest = math.prod(value.shape), math.prod(fixed)
        made = tuple(count // max(rest, 1) if size == -1 else int(size) if isinstance(size, int) else 0 for size in sizes)
        return _reformed(step, value, made)
    step.flow()
    if len(sizes) == 2:
        _to_matrix(step, sizes[0], sizes[1])
    elif len(sizes) == 4 and step.chain.letters == "NC" and sizes[2:] == (1, 1) and sizes[1] in {-1, 0, step.chain.sizes["C"]}:
        step.demand(step.chain.unsqueeze((2, 3)))
    else:
        raise step.error(f"makes {list(sizes)} of ({', '.join(step.chain.letters)}); only (N, everything else) can be read")
    return step.onward()


def _to_matrix(step: Step, images: int | str, rest: int | str) -> None:
    """(N, …) to (N, everything else), if that is what the two sizes say."""
    chain = step.chain
    known = [chain.sizes[axis] for axis in chain.letters[1:]]
    features = None if None in known else math.prod(size for size in known if size)
    fixed = rest if isinstance(rest, int) and rest > 0 else None
    first = images in {0, "N"} or images == chain.sizes["N"] or (images == -1 and fixed is not None) or images == 1
    if (
        not first
        or (rest == -1 and images == -1)
        or (fixed is not None and features not in {None, fixed})
        or (rest == 0 and len(known) > 1)
    ):
        raise step.error(f"makes {[images, rest]} of ({', '.join(chain.letters)}) with {features} numbers an image; that is no flatten")
    if images == 1 and chain.sizes["N"] != 1:
        chain.notes.append(f"{step.node.label}: for one image at a time in the file, for any number here.")
    step.demand(chain.flatten())
    chain.sizes["C"] = chain.sizes["C"] or fixed


def _reformed(step: Step, value: Constant, made: tuple[int, ...]) -> Constant:
    if value.transposed or min(made, default=1) < 0 or math.prod(made) != math.prod(value.shape):
        raise step.error(f"makes {list(made)} of constants {list(value.shape)}; that cannot be read")
    return Constant(value.stored, made)
