"""Report of an evaluation (files, tables, figures, page) and pages about data sets."""

from uad_jax.report.page import write

__all__ = ['write']
