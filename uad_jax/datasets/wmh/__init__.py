"""Data set builder of the WMH segmentation challenge."""
