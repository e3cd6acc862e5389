"""Random changes of training images on the device: transforms and synthetic lesions."""
