"""ADNI."""
