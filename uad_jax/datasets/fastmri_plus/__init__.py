"""Data set builder of fastMRI+."""
