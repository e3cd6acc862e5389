"""TFDS builder of the OASIS-1 data set (healthy adults and dementia)."""
