"""Data sets: preprocessing, simulation, cohorts, records and batches, without jax."""
