"""Methods: files with `make(shape, channels, **options) -> Method`.

A file's name is its registration; no file here imports another.
"""
