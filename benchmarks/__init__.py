"""Benchmarks: ratios within one run, each against a floor that is part of it."""
