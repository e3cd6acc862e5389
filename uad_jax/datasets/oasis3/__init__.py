"""Data set builder of OASIS-3."""
