"""Adaptation of a trained run to scans of another scanner: target scans and config."""
