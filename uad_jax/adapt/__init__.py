"""Adaptations: files with `make(**options) -> Adaptation`, a wrapper of methods."""
