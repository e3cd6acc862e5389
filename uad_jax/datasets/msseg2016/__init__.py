"""TFDS builder of the MSSEG 2016 data set (MRI of multiple sclerosis)."""
