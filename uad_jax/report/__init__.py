"""Modules that write the report of an evaluation, and pages about data sets."""

from uad_jax.report.page import write

__all__ = ['write']
