"""TFDS builder of the MOOD data set (healthy brains, synthetic anomalies)."""
