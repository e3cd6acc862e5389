"""TFDS builder of the IXI data set (MRI of healthy adults)."""
