"""Modules that simulate scans of subjects, healthy or with lesions, from MNI152."""
