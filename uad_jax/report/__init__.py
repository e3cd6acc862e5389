"""What one evaluation leaves behind, tables, figures and one page; pages about data."""

from uad_jax.report.page import write

__all__ = ['write']
