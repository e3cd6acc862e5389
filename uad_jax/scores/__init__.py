"""Scorers, which make anomaly maps: each file holds one `make(**options) -> Scorer`.

The name of a file is the name by which a config asks for its scorer.
"""
