"""Layers that networks are made of: convolutions, normalisations, features."""
