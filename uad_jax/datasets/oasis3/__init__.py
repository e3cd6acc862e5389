"""TFDS builder of the OASIS-3 data set (normal ageing and dementia)."""
