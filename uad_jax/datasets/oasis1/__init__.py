"""OASIS-1."""
