"""Comparison of runs: the tables and pictures of docs/results.md and their records."""
