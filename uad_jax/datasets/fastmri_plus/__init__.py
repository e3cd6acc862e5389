"""TFDS builder of the fastMRI+ data set (clinical brain MRI)."""
