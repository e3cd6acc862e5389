"""Anomaly detection methods, each a file with a function `make` that builds the method.

`make(shape, channels, **options)` returns a `method.Method`. A file is registered under
its name; no file here imports another, the parts they share are in `families`.
"""
