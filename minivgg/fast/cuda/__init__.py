"""Kernels for NVIDIA cards: CUDA C++ in `source/`, compiled by CuPy when first used, and a room for each that launches it."""
