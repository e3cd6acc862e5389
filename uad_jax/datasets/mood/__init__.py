"""MOOD."""
