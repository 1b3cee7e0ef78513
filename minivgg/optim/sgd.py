"""Stochastic gradient descent with momentum, in its two forms, each with Nesterov's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from ..autograd.core import Tensor
from ..backend.arrays import array_module
from ..backend.blocks import empty_like, in_blocks
from ..backend.device import Device
from ..backend.substitutes import substituted
from ..errors import CheckpointError, ConfigError, nearest
from .finite import all_finite

__all__ = ["SGD", "without_decay"]

Named = tuple[str, Tensor]
_OPTIONS = {"params", "lr", "momentum", "weight_decay", "nesterov"}
_PREFIX = "momentum."


class SGD:
    """Momentum collects the gradients of earlier steps, so that a steady direction gains speed and a zigzag cancels.

    With gradient g, weights w, decay λ, momentum μ and rate η, both forms begin with

        g ← g + λ·w                      (the gradient of the penalty ½·λ·|w|²)

    form="torch"    v ← μ·v + g          w ← w − η·v          Nesterov: w ← w − η·(g + μ·v)
    form="paper"    v ← μ·v − η·g        w ← w + v            Nesterov: w ← w + μ·v − η·g

    Unrolled, the torch form steps by −η_t Σ_k μᵏ g_{t−k} and the paper's (Krizhevsky 2012, Caffe) by −Σ_k μᵏ η_{t−k} g_{t−k}:
    the same while η is constant. When η drops, torch's form slows down at once, and the paper's goes on with the
    speed it gained. A constant gradient of 1, five steps at .1, then five at .01, moves a weight by −1.597 and −2.955.

    Nesterov's step looks ahead: it applies the momentum that the *next* step will begin with (Sutskever et al. 2013).

    params: (name, Tensor) pairs such as `model.named_parameters()`, or groups: dictionaries with "params" (such pairs) and
    any of lr, momentum, weight_decay, nesterov, which default to the arguments. State is kept by parameter name.
    Parameters whose grad is None are skipped. Raises ConfigError for options out of range.
    """

    def __init__(
        self,
        params: Iterable[Named] | Iterable[Mapping[str, Any]],
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        nesterov: bool = False,
        form: str = "torch",
    ) -> None:
        if form not in ("torch", "paper"):
            raise ConfigError(f'form="{form}" is unknown: {nearest(form, ["paper", "torch"])}')
        self.form = form
        defaults = _checked({"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})
        self.groups: list[dict[str, Any]] = []
        for group in _as_groups(params):
            unknown = sorted(set(group) - _OPTIONS)
            if unknown:
                raise ConfigError(f'a parameter group has no option "{unknown[0]}": {nearest(unknown[0], _OPTIONS)}')
            self.groups.append(_checked({**defaults, **group, "params": _check_pairs(group["params"])}))
        self._velocity: dict[str, Any] = {}
        names = [name for group in self.groups for name, _ in group["params"]]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ConfigError(f'"{twice[0]}" occurs twice among the parameters; each belongs to one group, under a name of its own.')
        if not names:
            raise ConfigError("there is no parameter to train. Pass model.named_parameters().")
        self._scales = [group["lr"] / self.groups[0]["lr"] for group in self.groups]

    @property
    def lr(self) -> float:
        """The first group's learning rate. Setting it scales every group by the same factor."""
        return float(self.groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"lr must be a finite number ≥ 0, but is {value!r}.")
        for group, scale in zip(self.groups, self._scales, strict=True):
            group["lr"] = value * scale

    def parameters(self) -> list[Named]:
        """All (name, Tensor) pairs, group by group."""
        return [pair for group in self.groups for pair in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients: every `.grad` becomes None."""
        for _, p in self.parameters():
            p.grad = None

    def finite(self) -> Any:
        """Whether all gradients are free of NaN and Inf, a 0-d boolean array: see `all_finite`."""
        return all_finite(self.parameters())

    def step(self, guard: Any = None, scale: Any = None) -> None:
        """Update every parameter that has a gradient, in place; the gradients are left as they are.

        guard: a 0-d boolean array on the parameters' device, or None. Where it is False nothing changes: a GPU can
        so refuse a gradient with NaN without telling the host, which would have to wait for it.
        scale: a 0-d float32 array there, or None. The gradients are those of a loss that was multiplied by it: each is divided by it.
        """
        for group in self.groups:
            moving = [(name, p) for name, p in group["params"] if p.grad is not None]
            entries = [(p.data, p.grad, self._state(name, p) if group["momentum"] else None) for name, p in moving]
            fused = substituted("sgd", array_module(*(w for w, _, _ in entries[:1])))
            for w, g, v in fused(entries, group, self.form == "torch", guard, scale) if fused and entries else entries:
                self._update(w, g, v, group, guard, scale)
            for _, p in moving:
                p.data = p.data  # counts as a write

    def _update(self, w: Any, g: Any, velocity: Any, group: Mapping[str, Any], guard: Any, scale: Any) -> None:
        eta, mu, decay, torch = group["lr"], group["momentum"], group["weight_decay"], self.form == "torch"

        def update(w: Any, g: Any, velocity: Any = None) -> None:
            if scale is not None:
                g = g / scale
            if decay:
                g = g + decay * w
            move = g if torch else -eta * g  # what enters the velocity
            if velocity is not None:
                v = velocity if guard is None else velocity.copy()
                v *= mu
                v += move
                move = move + mu * v if group["nesterov"] else v
                if guard is not None:
                    array_module(v).copyto(velocity, v, where=guard)
            change = eta * move if torch else -move
            if guard is not None:
                change = array_module(change).where(guard, change, 0)
            w -= change

        in_blocks(update, w, g, *([] if velocity is None else [velocity]))

    def _state(self, name: str, p: Tensor) -> Any:
        """The velocity of a parameter: zeros until its first step, and always of its dtype, on its device and stored as it is."""
        v = self._velocity.get(name)
        if v is None:
            v = array_module(p.data).zeros_like(p.data)
        elif v.dtype != p.dtype or v.device != p.data.device:  # the model was moved
            v = _stored_like(p.data, v)
        self._velocity[name] = v
        return v

    def state_dict(self) -> dict[str, Any]:
        """The velocities: "momentum." + parameter name → array, for every parameter whose group has momentum."""
        return {_PREFIX + name: self._state(name, p) for group in self.groups if group["momentum"] for name, p in group["params"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over velocities (copied to each parameter's device and dtype).

        Raises CheckpointError, with nothing changed, unless names and shapes are exactly those of `state_dict()`.
        """
        wanted = {_PREFIX + name: p for group in self.groups if group["momentum"] for name, p in group["params"]}
        missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
        if missing or extra:
            raise CheckpointError(
                f"the optimiser's state does not belong to these parameters: {len(missing)} missing {missing[:3]}, "
                f"{len(extra)} unknown {extra[:3]}. Build the model and SGD with the options of the run that saved it."
            )
        for name, p in wanted.items():
            if tuple(state[name].shape) != p.shape:
                raise CheckpointError(f"{name} has shape {tuple(state[name].shape)}, but the parameter has {p.shape}.")
        for name, p in wanted.items():
            self._velocity[name[len(_PREFIX) :]] = _stored_like(p.data, state[name])


def _stored_like(w: Any, values: Any) -> Any:
    """A copy of `values` with w's dtype, on its device and in its order in memory, in which updates run along both."""
    device = Device.of(w)
    with device.use():
        copy = empty_like(w)
        copy[...] = device.asarray(values, w.dtype)
    return copy


def without_decay(named_parameters: Iterable[Named], weight_decay: float = 5e-4) -> list[dict[str, Any]]:
    """Two groups for SGD: weights with `weight_decay`, and one-dimensional parameters with none.

    Biases and batch norm's scale and shift are the one-dimensional ones: they do not overfit, and shrinking
    a scale only changes the effective learning rate of the layer in front.
    """
    pairs = list(named_parameters)
    groups = [
        {"params": [(name, p) for name, p in pairs if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [(name, p) for name, p in pairs if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _as_groups(params: Any) -> list[dict[str, Any]]:
    items = list(params)
    if any(isinstance(item, Mapping) for item in items):
        for item in items:
            if not isinstance(item, Mapping) or "params" not in item:
                raise ConfigError('a parameter group is a dictionary with "params", a list of (name, Tensor) pairs.')
        return [dict(item) for item in items]
    return [{"params": items}]


def _check_pairs(pairs: Any) -> list[Named]:
    made = list(pairs)
    for pair in made:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Tensor)):
            raise ConfigError(f"parameters are (name, Tensor) pairs, as model.named_parameters() gives, but one is {pair!r:.80}.")
    return made


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The options with plain Python numbers, which keep float32 arrays float32; ConfigError if one is out of range."""
    rules: dict[str, tuple[str, Callable[[float], bool]]] = {
        "lr": ("a finite number > 0", lambda v: v > 0),
        "momentum": ("a number in [0, 1)", lambda v: 0 <= v < 1),
        "weight_decay": ("a finite number ≥ 0", lambda v: v >= 0),
    }
    for name, (expected, holds) in rules.items():
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not holds(float(value)):
            raise ConfigError(f"{name} must be {expected}, but is {value!r}.")
        options[name] = float(value)
    if not isinstance(options["nesterov"], bool):
        raise ConfigError(f"nesterov must be True or False, but is {options['nesterov']!r}.")
    if options["nesterov"] and not options["momentum"]:
        raise ConfigError("nesterov=True needs momentum > 0: Nesterov's step is a step along the momentum.")
    return options
