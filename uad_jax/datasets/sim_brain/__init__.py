"""A simulated cohort, made from templates that are installed with the package."""
