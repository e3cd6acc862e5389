"""TFDS builder of the BraTS data set (MRI of glioma)."""
