"""Measures: accuracy, time, memory, the quality of captions, and the machine."""
