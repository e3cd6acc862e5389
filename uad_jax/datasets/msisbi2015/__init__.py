"""ISBI 2015 longitudinal MS."""
