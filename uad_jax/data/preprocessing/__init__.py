"""Modules that preprocess NIfTI scans to arrays, and map results back to the scans.

Nothing here imports TFDS, and only the steps 'affine' and 'ants' import jax when used.
"""
