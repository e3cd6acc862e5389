"""Data set builder of MSLUB."""
