"""Measures: time, memory, robustness, the quality of captions, and the machine."""
