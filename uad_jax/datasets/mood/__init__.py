"""Data set builder of MOOD."""
