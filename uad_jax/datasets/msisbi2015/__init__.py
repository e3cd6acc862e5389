"""Data set builder of the ISBI 2015 longitudinal MS lesion challenge."""
