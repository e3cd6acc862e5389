"""Decisions on a stream of scans: conformal p-values, alarms, recurring residuals."""
