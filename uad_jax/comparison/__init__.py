"""Modules that compare runs of all methods and render the page docs/results.md."""
