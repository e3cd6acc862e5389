"""Whole cohorts of scans: found, split, built, checked."""
