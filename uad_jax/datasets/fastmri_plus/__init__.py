"""fastMRI+."""
