"""MSLUB."""
