"""Study of a deformation field: what its gate is worth, beside negative controls."""
