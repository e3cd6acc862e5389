"""Augmentation on the device: image transforms, synthetic lesions, simplex noise."""
