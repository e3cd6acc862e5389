"""Building blocks of the methods: networks in use, losses, calibration.

These files are not methods themselves and are not registered as such.
"""
