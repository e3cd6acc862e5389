"""Methods of anomaly detection, each a file with `make(shape, channels, **options)`.

`make` returns a `method.Method`. A file is registered under its name; no file here
imports another, the parts they share are in `families`.
"""
