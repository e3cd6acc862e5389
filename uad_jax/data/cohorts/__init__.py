"""Data sets of real scans: finds, splits, builds and checks them."""
