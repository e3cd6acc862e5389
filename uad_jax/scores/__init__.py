"""Scores: files with `make(**options) -> Scorer`; a file's name is its registration."""
