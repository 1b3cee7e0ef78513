"""A pretend CuPy: the pretend GPU under CuPy's name, with the streams, pools and compiled kernels that the package uses.

Installed as `sys.modules["cupy"]` by the fixture `card`, so that `Device("cuda")`, `--device cuda` and all kernels in `fast/cuda` run
their own code on the CPU, strictly: see `minivgg.testing.pretend` and shim.hpp.
"""

from .module import install, module

__all__ = ["install", "module"]
