"""TFDS builder of the ISBI 2015 challenge on lesions of multiple sclerosis."""
