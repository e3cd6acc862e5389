"""Neural networks as flax.linen modules for 2-D and 3-D images [B, *S, C].

Shapes: B batch, *S spatial axes, d their number (read from the input), C channels, Z
latent values; S / 2^levels is the grid after one halving for each width; 3^d is a
kernel of 3 x 3 or 3 x 3 x 3. Modules that normalise over the batch take `train` and
`weight` [B], 0 for padded examples, which enter no statistics.
"""
