"""Simulates subjects from the MNI152 template: anatomy, deformation, lesion, scan."""
