"""WMH segmentation challenge."""
