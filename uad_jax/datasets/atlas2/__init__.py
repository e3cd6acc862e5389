"""TFDS builder of the ATLAS 2.0 data set (MRI of chronic stroke)."""
