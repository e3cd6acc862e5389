"""Data set builder of BraTS."""
