"""Fuzzing of the parser; see differential.py and splits.py."""
