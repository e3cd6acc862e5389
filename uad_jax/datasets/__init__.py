"""TFDS builders of the data sets, one folder for each data set."""
