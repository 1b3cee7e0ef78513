"""Hypothesis strategies for shapes, arrays in any storage, ops with their arguments, graphs, networks and optimisers.

    from hypothesis import given
    from minivgg import ops
    from minivgg.testing import check_gradients
    from minivgg.testing.strategies import calls, graphs

    @given(calls(ops.Conv2d))                # any op's class, yours too; without one, every op of the package
    def test_convolution(call):
        check_gradients(call.op, *call.arrays).raise_if_failed()

    @given(graphs())
    def test_graphs(graph):
        check_gradients(graph, *graph.inputs).raise_if_failed()

Hypothesis draws the structure (shapes, fields, which op) and a seed; the numbers follow from the seed, with three
decimals. What fails shrinks to few steps, small shapes and seed 0, and prints as code that can be pasted.

The names are imported when they are first used: Hypothesis imports this package when it starts, for `registration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_names

if TYPE_CHECKING:
    from .call import Call, calls
    from .geometry import ConvolutionCase, PoolingCase, convolutions, poolings, windows
    from .graph import Graph, Step, graphs
    from .illegal import Illegal, illegal_convolutions, illegal_poolings
    from .network import Network, fill, networks, vgg_configurations
    from .storage import broadcast_arrays, store, stored
    from .trajectory import Run, SGDMachine, Trajectory, trajectories
    from .values import arrays, broadcastable_shapes, pool_inputs, positive_arrays, seeded_tensor, seeds, shapes, tensors

__all__ = [
    "Call",
    "ConvolutionCase",
    "Graph",
    "Illegal",
    "Network",
    "PoolingCase",
    "Run",
    "SGDMachine",
    "Step",
    "Trajectory",
    "arrays",
    "broadcast_arrays",
    "broadcastable_shapes",
    "calls",
    "convolutions",
    "fill",
    "graphs",
    "illegal_convolutions",
    "illegal_poolings",
    "networks",
    "pool_inputs",
    "poolings",
    "positive_arrays",
    "seeded_tensor",
    "seeds",
    "shapes",
    "store",
    "stored",
    "tensors",
    "trajectories",
    "vgg_configurations",
    "windows",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "call": ("Call", "calls"),
        "geometry": ("ConvolutionCase", "PoolingCase", "convolutions", "poolings", "windows"),
        "graph": ("Graph", "Step", "graphs"),
        "illegal": ("Illegal", "illegal_convolutions", "illegal_poolings"),
        "network": ("Network", "fill", "networks", "vgg_configurations"),
        "storage": ("broadcast_arrays", "store", "stored"),
        "trajectory": ("Run", "SGDMachine", "Trajectory", "trajectories"),
        "values": ("arrays", "broadcastable_shapes", "pool_inputs", "positive_arrays", "seeded_tensor", "seeds", "shapes", "tensors"),
    },
)
