"""Adaptations, which wrap a method: each file holds `make(**options) -> Adaptation`.

The name of a file is the name by which a config asks for its adaptation.
"""
