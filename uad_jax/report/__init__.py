"""What an evaluation leaves behind: tables, figures and one self-contained page."""

from uad_jax.report.files import write

__all__ = ['write']
