"""TFDS builder of a simulated data set, made from the MNI152 templates."""
