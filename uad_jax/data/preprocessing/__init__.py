"""Modules that preprocess NIfTI scans and map results back to the original scans.

Nothing here imports TFDS, and only the steps 'affine' and 'ants' import jax when used.
"""
