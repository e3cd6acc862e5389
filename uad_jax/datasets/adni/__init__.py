"""TFDS builder of the ADNI data set (Alzheimer's disease neuroimaging)."""
