"""Modules that simulate brain scans, with or without lesions, from the MNI152."""
