"""Data set builder of IXI."""
