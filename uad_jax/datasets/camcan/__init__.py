"""Cam-CAN."""
