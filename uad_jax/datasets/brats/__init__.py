"""BraTS."""
