"""Data set builder of Cam-CAN."""
