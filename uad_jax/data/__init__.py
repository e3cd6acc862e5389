"""Modules that preprocess and simulate scans, build data sets and make batches."""
