"""Operators whose windows slide over the image: Conv, MaxPool, AveragePool, and means over all of it.

Sizes    out = ⌊(in + pads − reach) / stride⌋ + 1, or ⌈ ⌉ with ceil_mode; reach = dilation·(kernel − 1) + 1
Padding  pads is (top, left, bottom, right); here top = bottom and left = right. auto_pad SAME_UPPER and SAME_LOWER make
         out = ⌈in / stride⌉ by pads of (out − 1)·stride + reach − in together, of which an odd one goes below or above: that is refused,
         but for max pooling by 2×2, where one row below is what ceil_mode gives.
Ceiling  where the last window would begin in the padding, exporters and runtimes differ; that cannot be if stride + padding ≤ kernel.
"""

from __future__ import annotations

from .messages import Defaults
from .step import Flow, Step

__all__ = ["AVERAGE_POOL", "CONV", "MAX_POOL", "average_pool", "conv", "global_average_pool", "max_pool", "reduce_mean"]

_SLIDING: Defaults = {"auto_pad": "NOTSET", "kernel_shape": (), "pads": (), "strides": (), "dilations": ()}
CONV: Defaults = {**_SLIDING, "group": 1}
MAX_POOL: Defaults = {**_SLIDING, "ceil_mode": 0, "storage_order": 0}
AVERAGE_POOL: Defaults = {**_SLIDING, "ceil_mode": 0, "count_include_pad": 0}
_MOST = 1 << 16  # of a stride, a window, a dilation: images are not larger

Pair = tuple[int, int]


def conv(step: Step) -> Flow:
    """Conv → conv2d."""
    step.flow()
    chain = step.chain
    step.demand(chain.needs_image())
    weight, groups = step.constant(1), step.setting("group", int)
    if len(weight.shape) != 4 or min(weight.shape) < 1:
        raise step.error(f"has filters {list(weight.shape)}, where (K, C, R, S) was expected")
    out, channels, *kernel = weight.shape
    if groups < 1 or out % groups or chain.sizes["C"] not in {None, channels * groups}:
        raise step.error(f"has filters {list(weight.shape)} in {groups} groups, but gets {chain.sizes['C']} channels")
    if step.setting("kernel_shape", tuple) not in {(), tuple(kernel)}:
        raise step.error(f"has kernel_shape {list(step.setting('kernel_shape', tuple))}, but filters {list(weight.shape)}")
    options = _slide(step, (kernel[0], kernel[1]))
    array, bias = step.array(1), step.array(2, (out,)) if step.given(2) else None
    chain.sizes["C"] = out
    chain.add("conv2d", {**options, "groups": groups}, weight=array, bias=bias)
    return step.onward()


def max_pool(step: Step) -> Flow:
    """MaxPool → max_pool."""
    step.flow()
    step.demand(step.chain.needs_image())
    kernel, ceil_mode = _kernel(step), bool(step.setting("ceil_mode", int))
    hanging = _hangs(step, kernel) and not ceil_mode
    ceil_mode = ceil_mode or (hanging and any((step.chain.sizes[axis] or 1) % 2 for axis in "HW"))
    options = _slide(step, kernel, ceil_mode, hanging)
    padding, stride = options["padding"], options["stride"]
    if options.pop("dilation") != [1, 1] or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise step.error(f"has dilations, or pads of more than half of its window {list(kernel)}")
    if ceil_mode and any(s + p > k for s, p, k in zip(stride, padding, kernel, strict=True)):
        raise step.error("has ceil_mode with windows that may begin in the padding, where programs disagree")
    step.chain.add("max_pool", {"kernel_size": list(kernel), **options, "ceil_mode": ceil_mode})
    return step.onward()


def average_pool(step: Step) -> Flow:
    """AveragePool → nothing if each window is a single place, adaptive_avg_pool if the windows tile the image."""
    step.flow()
    chain = step.chain
    step.demand(chain.needs_image())
    kernel = _kernel(step)
    before = chain.sizes["H"], chain.sizes["W"]
    options = _slide(step, kernel)
    if options["padding"] == [0, 0] and options["dilation"] == [1, 1]:
        if kernel == (1, 1) and options["stride"] == [1, 1]:
            chain.notes.append(f"{step.node.label}: means of single places, left out.")
            return step.onward()
        cells = [
            1 if n == k else n // k if n and n % k == 0 and k == s else 0 for n, k, s in zip(before, kernel, options["stride"], strict=True)
        ]
        if all(cells):
            chain.sizes |= {"H": cells[0], "W": cells[1]}
            chain.add("adaptive_avg_pool", {"output_size": cells})
            return step.onward()
    raise step.error(f"has windows of {list(kernel)} that neither are single places nor tile the image {list(before)}")


def global_average_pool(step: Step) -> Flow:
    """GlobalAveragePool → adaptive_avg_pool to 1×1."""
    step.flow()
    step.demand(step.chain.needs_image())
    step.chain.sizes |= {"H": 1, "W": 1}
    step.chain.add("adaptive_avg_pool", {"output_size": [1, 1]})
    return step.onward()


def reduce_mean(step: Step) -> Flow:
    """ReduceMean over H and W → adaptive_avg_pool to 1×1; without keepdims they are gone from the file's axes."""
    step.flow()
    chain, axes = step.chain, step.axes()
    letters = {chain.letters[axis] for axis in axes if -len(chain.letters) <= axis < len(chain.letters)}
    if letters != {"H", "W"} or chain.flat:
        raise step.error(f"takes means over {list(axes)} of ({', '.join(chain.letters)}); only those over H and W can be read")
    chain.sizes |= {"H": 1, "W": 1}
    chain.add("adaptive_avg_pool", {"output_size": [1, 1]})
    if not step.setting("keepdims", int):
        step.demand(chain.squeeze(axes))
    return step.onward()


def _kernel(step: Step) -> Pair:
    kernel = step.setting("kernel_shape", tuple)
    if len(kernel) != 2 or not all(1 <= size <= _MOST for size in kernel):
        raise step.error(f"has kernel_shape {list(kernel)}, where two sizes were expected")
    return kernel[0], kernel[1]


def _hangs(step: Step, kernel: Pair) -> bool:
    """Whether these are windows of 2×2 side by side, padded below and to the right where a size is odd: ceil_mode in other words."""
    auto, pads = step.setting("auto_pad", str), step.setting("pads", tuple)
    return (kernel, step.setting("strides", tuple)) == ((2, 2), (2, 2)) and (
        auto == "SAME_UPPER" or (auto, pads) == ("NOTSET", (0, 0, 1, 1))
    )


def _slide(step: Step, kernel: Pair, ceil_mode: bool = False, hanging: bool = False) -> dict[str, list[int]]:
    """stride, padding (none if the windows hang over) and dilation as options of a layer; the sizes of the image become those after it."""
    strides, dilations = step.setting("strides", tuple) or (1, 1), step.setting("dilations", tuple) or (1, 1)
    pads, auto = step.setting("pads", tuple) or (0, 0, 0, 0), step.setting("auto_pad", str)
    if (len(strides), len(dilations), len(pads)) != (2, 2, 4) or not all(1 <= size <= _MOST for size in (*strides, *dilations)):
        raise step.error(f"has strides {list(strides)}, dilations {list(dilations)}, pads {list(pads)}: two, two and four were expected")
    if not all(0 <= pad <= _MOST for pad in pads) or (auto != "NOTSET" and any(pads)):
        raise step.error(f"has pads {list(pads)} with auto_pad {auto}")
    paddings = []
    for axis, letter in enumerate("HW"):
        reach, size = dilations[axis] * (kernel[axis] - 1) + 1, step.chain.sizes[letter]
        before, after = pads[axis], pads[axis + 2]
        if hanging:
            before = after = 0
        elif auto in {"SAME_UPPER", "SAME_LOWER"}:
            before, after = sorted(_same(step, reach, strides[axis], size), reverse=auto == "SAME_LOWER")
        elif auto not in {"NOTSET", "VALID"}:
            raise step.error(f'has auto_pad "{auto}", which is not known')
        if before != after:
            raise step.error(f"has {before} of padding before and {after} behind {letter}; only equal ones can be read")
        paddings.append(before)
        if size is not None:
            free = size + 2 * before - reach
            if free < 0:
                raise step.error(f"has a window that reaches over {reach}, but {letter} is {size}")
            step.chain.sizes[letter] = (-(-free // strides[axis]) if ceil_mode else free // strides[axis]) + 1
    return {"stride": list(strides), "padding": paddings, "dilation": list(dilations)}


def _same(step: Step, reach: int, stride: int, size: int | None) -> Pair:
    """Padding before and behind, for out = ⌈size / stride⌉."""
    if size is None and stride > 1:
        raise step.error("has auto_pad SAME for images of open size, so its padding cannot be said. Export it with fixed sizes")
    total = reach - 1 if size is None else max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
