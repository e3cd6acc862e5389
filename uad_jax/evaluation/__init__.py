"""Evaluation of anomaly maps: scans, histograms, lesions, bootstrap and summaries."""
