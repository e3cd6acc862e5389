"""Modules that find, split, preprocess, store and check data sets of real MRI scans."""
