"""Timings beside PyTorch, and the scripts that write docs/*.json; not tests."""
