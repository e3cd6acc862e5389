"""What an evaluation leaves behind: tables, figures and one self-contained page."""

from uad_jax.report.page import write

__all__ = ['write']
