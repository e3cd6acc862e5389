"""Data set builder of ATLAS 2.0."""
