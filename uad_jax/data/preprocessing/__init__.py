"""Modules that preprocess NIfTI scans, and resample results to the original scans.

Nothing here imports TFDS, and only the steps 'affine' and 'ants' import jax when used.
"""
