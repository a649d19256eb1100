"""Synthetic archives with known truth: noise, planted families and faults, written as real miniSEED."""
