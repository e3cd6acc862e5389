"""Data set builder of ADNI."""
