"""TFDS builder of simulated brain MRI, made from the MNI152 templates."""
