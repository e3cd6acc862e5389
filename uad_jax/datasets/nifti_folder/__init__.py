"""TFDS builder of a user's folder of NIfTI files."""
