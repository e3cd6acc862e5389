"""Data set builder of a simulated cohort, made from the MNI152 templates."""
