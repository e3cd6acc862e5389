"""Preprocessing of scans: from NIfTI files to arrays on one grid, and back to the scan.

Nothing here imports TFDS, and only the steps 'affine' and 'ants' import jax when used.
"""
