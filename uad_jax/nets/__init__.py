"""Networks as flax.linen modules, channels last, 2-D and 3-D by the shape of the input.

Arrays are [B, *S, C]. Modules that normalise over the batch take `train` and `weight`
[B], 0 where an example is padding and must not enter the statistics.
"""
