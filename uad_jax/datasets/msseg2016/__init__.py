"""Data set builder of MSSEG 2016."""
