"""Modules that simulate brain scans, with or without lesions, from a template."""
