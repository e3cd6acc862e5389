"""TFDS builder of a folder of 2-D images."""
