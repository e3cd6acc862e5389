"""TFDS builder of the MSLUB data set (MRI of multiple sclerosis)."""
