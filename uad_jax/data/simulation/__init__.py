"""The simulated cohort: anatomy, deformation, pathology, scanner."""
