"""Isolation forest: how few random cuts part a vector from the others."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import IsolationForest

from uad_jax.detectors import Detector
from uad_jax.ops.limits import check_whole


def make(trees: int = 100, samples: int = 256, seed: int = 0) -> Detector:
  """Builds the isolation forest of Liu et al. 2008.

  The score is 2^(-E[h(x)] / c(n)), h being the depth at which a tree isolates the
  vector and c(n) its mean for n samples.

  Args:
    trees: Number of trees.
    samples: Vectors that each tree is grown on.
    seed: Seed of the cuts.
  """
  check_whole('isolation_forest: trees', trees, 1)
  check_whole('isolation_forest: samples', samples, 2)

  def deepest(n):
    return int(np.ceil(np.log2(max(min(samples, n), 2))))

  def shapes(n, d):
    nodes = 2 ** (deepest(n) + 1)
    names = ('feature', 'cut', 'left', 'right', 'depth')
    return {name: (trees, nodes) for name in names} | {'usual': ()}

  def fit(vectors: np.ndarray):
    forest = IsolationForest(
      n_estimators=trees, max_samples=min(samples, len(vectors)), random_state=seed
    ).fit(np.float32(vectors))
    arrays = {
      name: np.zeros(shape, np.float32)
      for name, shape in shapes(*vectors.shape).items()
    }
    for row, grown in enumerate(forest.estimators_):
      tree, used = grown.tree_, slice(grown.tree_.node_count)
      leaf = tree.children_left < 0
      here = np.arange(tree.node_count)
      arrays['feature'][row, used] = np.where(leaf, 0, tree.feature)
      arrays['cut'][row, used] = np.where(leaf, np.inf, tree.threshold)
      arrays['left'][row, used] = np.where(leaf, here, tree.children_left)
      arrays['right'][row, used] = np.where(leaf, here, tree.children_right)
      depth = np.zeros(tree.node_count)
      for parent in here[~leaf]:
        for child in (tree.children_left[parent], tree.children_right[parent]):
          depth[child] = depth[parent] + 1
      arrays['depth'][row, used] = depth + _usual_depth(tree.n_node_samples)
    arrays['usual'] = np.float32(_usual_depth(np.array([forest.max_samples_]))[0])
    return arrays

  def score(fitted, x):
    levels = int(np.log2(fitted['cut'].shape[1]))

    def depth_in(tree):
      def descend(_, node):
        value = jnp.take_along_axis(x, tree['feature'].astype(int)[node][:, None], 1)
        goes_left = value[:, 0] <= tree['cut'][node]
        return jnp.where(goes_left, tree['left'][node], tree['right'][node]).astype(int)

      start = jnp.zeros(len(x), int)
      return tree['depth'][jax.lax.fori_loop(0, levels, descend, start)]

    grown = {name: value for name, value in fitted.items() if name != 'usual'}
    depths = jax.lax.map(depth_in, grown)
    return 2 ** (-depths.mean(0) / fitted['usual'])

  return Detector(shapes, fit, score)


def _usual_depth(count: np.ndarray) -> np.ndarray:
  """Mean depth c(n) of an unsuccessful search in a binary tree of n samples."""
  n = np.maximum(np.float64(count), 2)
  depth = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
  return np.where(count <= 1, 0.0, np.where(count == 2, 1.0, depth))
