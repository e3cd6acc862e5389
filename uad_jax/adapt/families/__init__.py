"""Functions that several adaptations share; no config names a file of this folder."""
