"""A folder of NIfTI files as a dataset."""
