"""TFDS builder of the WMH segmentation challenge (white matter hyperintensities)."""
