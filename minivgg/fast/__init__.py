"""Kernels: faster ways to compute what ops define. An overlay that can be deleted; everything still passes, slower.

An op never mentions its kernels. Each is registered in `overlay`, promises the op's result within a bound it
states, and is tested against the op's own formula.
"""
