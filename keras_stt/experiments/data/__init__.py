"""Data sets as arrays: classification, captions, and what they are read with."""
