"""Modules that prepare scans, simulate subjects, build data sets and make batches."""
