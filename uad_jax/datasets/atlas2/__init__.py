"""ATLAS 2.0."""
