"""Experiments: comparisons and benchmarks, from the data to the report."""
