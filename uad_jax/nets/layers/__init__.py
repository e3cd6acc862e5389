"""Layers of the networks: convolutions, normalisations, dropout, resampling, features.

Shapes: B batch, *S spatial axes, d their number (2 or 3), C channels, *K kernel edges.
"""
