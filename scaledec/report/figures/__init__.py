"""Figures, one a module: arrays and plain values in, a matplotlib Figure out. Nothing here reads a store."""
