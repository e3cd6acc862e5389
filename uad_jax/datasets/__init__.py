"""Data sets: one folder per TFDS builder, with the name of the data set."""
