"""Building blocks shared by several methods: networks, losses and calibration.

These files are not methods themselves and are not registered as such.
"""
