"""Timings beside PyTorch, and the scripts that make docs/*.json; not tests."""
