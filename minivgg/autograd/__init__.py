"""Graphs and their differentiation; no mathematics of networks."""
