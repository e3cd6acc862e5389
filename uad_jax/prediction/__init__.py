"""Trained runs applied to single scans: detection on the prepared grid, and back."""
