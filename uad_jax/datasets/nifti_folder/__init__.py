"""Data set builder for a folder of NIfTI files."""
