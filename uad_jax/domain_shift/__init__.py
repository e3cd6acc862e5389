"""Scans of other scanners: simulated shifts, scan statistics, domain gate."""
