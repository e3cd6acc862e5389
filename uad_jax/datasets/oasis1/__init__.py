"""Data set builder of OASIS-1."""
