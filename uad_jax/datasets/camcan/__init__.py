"""TFDS builder of the Cam-CAN data set (MRI of healthy adults)."""
