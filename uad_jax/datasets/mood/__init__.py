"""TFDS builder of the MOOD data set (healthy brains and synthetic anomalies)."""
