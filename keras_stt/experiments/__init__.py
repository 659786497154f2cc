"""Experiments: data, training, measures and the report of a comparison."""
