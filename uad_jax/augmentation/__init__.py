"""Functions that augment batches: image transforms, synthetic lesions, noise."""
