"""Names of the arrays that methods return, with their shapes, units and limits.

Axes are those of `uad_jax.method`: B batch, *S spatial, d their number, C channels.
"""

import math
from typing import NamedTuple


class Output(NamedTuple):
  """Description of one array that the inference of a method can return.

  Attributes:
    shape: Axes; B, *S, C and d as in the legend, a number for itself, '*s' for another
      grid, any other letter for any size.
    meaning: The quantity, in a few words.
    unit: 'image' (normalised intensity), 'voxel', 'nat', or '' for a pure number.
    low, high: Smallest and largest value possible.

  Examples:
    >>> OUTPUTS['gate'].shape, OUTPUTS['gate'].high
    ('B *S 1', 1)
  """

  shape: str
  meaning: str
  unit: str = ''
  low: float = -math.inf
  high: float = math.inf


OUTPUTS = {
  # The expected image.
  'reconstruction': Output('B *S C', 'healthy image expected of the scan', 'image'),
  'prior': Output('B *S C', 'reconstruction before any deformation', 'image'),
  'usual': Output('B *S C', 'voxelwise mean of the training scans', 'image'),
  'stiff': Output('B *S C', 'prior warped by the stiff field', 'image'),
  'decoded': Output('B *S C', 'image decoded from unchanged codes', 'image'),
  'healed': Output('B N *S C', 'images with their unlikely codes resampled', 'image'),
  # Its uncertainty.
  'sampled': Output('B *S C', 'image decoded from a draw of the latent code', 'image'),
  'reconstruction_members': Output('B N *S C', 'reconstruction by member', 'image'),
  'prior_members': Output('B N *S C', 'the same of prior', 'image'),
  'displacement_members': Output('B N *S d', 'the same of displacement', 'voxel'),
  'reconstruction_log_variance': Output('B *S C', 'of its residual', 'log image^2'),
  'sampled_log_variance': Output('B *S C', 'the same of sampled', 'log image^2'),
  'prior_log_variance': Output('B *S C', 'the same of prior', 'log image^2'),
  'usual_log_variance': Output('B *S C', 'the same of usual', 'log image^2'),
  'stiff_log_variance': Output('B *S C', 'the same of stiff', 'log image^2'),
  'spread': Output('B *S C', 'variance over the ensemble of heads', 'image^2', 0),
  'reconstruction_responses': Output('B *S K', 'its residual at several scales'),
  'usual_responses': Output('B *S K', 'the same of usual'),
  # The deformation.
  'velocity': Output('B *s d', 'stationary velocity field', 'voxel of its grid'),
  'velocity_log_variance': Output('B *s d', 'its log variance', 'log voxel^2'),
  'displacement': Output('B *S d', 'displacement field: u in x(p + u(p))', 'voxel'),
  'displacement_variance': Output('B *S 1', 'its variance, summed', 'voxel^2', 0),
  'gate': Output('B *S 1', 'where the field may not explain the scan', '', 0, 1),
  # Anomaly by voxel.
  'support': Output('B *S 1', '0 where hardly any healthy brain lies', '', 0, 1),
  'posterior': Output('B *S 1', 'lesion probability by the gate network', '', 0, 1),
  'posterior_logit': Output('B *S 1', 'its log-odds; 0 outside of the brain', 'nat'),
  'fused': Output('B *S 1', 'posterior times standardised residual', '', 0),
  'standardised': Output('B *S 1', 'residual of stiff in standard deviations', '', 0),
  'restored': Output('B *S 1', 'mean change over the steps of restoration', 'image', 0),
  'scale_residual': Output('B *S 1', 'mean residual over the scales', 'image', 0),
  'improbability': Output('B *S 1', 'minus log-likelihood of the code here', 'nat', 0),
  'surprisal': Output('B *S 1', '-log p(image), shared among voxels', 'nat'),
  'surprisal_last': Output('B *S 1', 'the same of the coarsest scale alone', 'nat'),
  'surprisal_ratio': Output('B *S 1', 'surprisal minus that in general', 'nat'),
  'surprise': Output('B *S 1', 'denoising error of the code here', '', 0),
  'novelty': Output('B *S 1', 'score of a novelty detector of the features here'),
  'heal_mask': Output('B N *S 1', 'share of a voxel whose code was unlikely', '', 0, 1),
  # The latent code.
  'latent': Output('B ...', 'latent code; its mean where it is a distribution'),
  'latent_w': Output('B ...', 'mean of the second latent w of the mixture model'),
  'latent_c': Output('B ... K', 'probabilities of the clusters', '', 0, 1),
  'features': Output('B *s K', 'first feature maps of the encoder'),
  # Likelihood of a scan.
  'elbo': Output('B', 'evidence lower bound, without constants', 'nat'),
  'rec': Output('B', 'reconstruction term of the bound', 'nat'),
  'kl': Output('B', 'Kullback-Leibler term of the bound', 'nat', 0),
  'log_density': Output('B', 'log-density of the image', 'nat'),
  'log_prob': Output('B', 'log-likelihood of the codes', 'nat', high=0),
  'realness': Output('B', 'log-odds that reconstruction is of a scan', 'nat'),
}
"""All outputs of `Method.infer`, by name. A new output has its line here."""

EXPECTED = ('reconstruction', 'prior')
"""Outputs that are images expected of a healthy brain; scans are compared to them."""
