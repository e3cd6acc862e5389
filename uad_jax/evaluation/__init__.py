"""What an evaluation is made of: scans, histograms, lesions, intervals, summaries."""
