"""Scorers: functions that compute anomaly maps from the outputs of a method.

Each file holds one `make(**options) -> Scorer`; the name of the file is the name of the
scorer in a config.
"""
