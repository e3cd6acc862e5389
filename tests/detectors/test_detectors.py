"""Detectors give the scores of scikit-learn, and refuse what they cannot fit."""

import jax
import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from tests.conftest import ROOT
from uad_jax.detectors.catalogue import DETECTORS

OPTIONS = {
  'gmm': dict(components=3),
  'isolation_forest': dict(trees=20, samples=64),
  'kde': dict(bandwidth=0.7),
  'kernel_pca': dict(components=6, gamma=0.2),
  'knn': dict(k=3),
  'lof': dict(k=10),
  'one_class_svm': dict(nu=0.2, gamma=0.2),
  'pca': dict(components=2),
  'svdd': dict(nu=0.2, gamma=0.2),
}


def by_kernel_pca(x, y):
  """|phi(y) - mean|^2 minus its part in the subspace, from the kernel's matrices."""
  found = KernelPCA(6, kernel='rbf', gamma=0.2).fit(x)
  kernel = rbf_kernel(y, x, 0.2)
  potential = 1 - 2 * kernel.mean(1) + rbf_kernel(x, x, 0.2).mean()
  return np.sqrt(potential - (found.transform(y) ** 2).sum(1))


def by_svdd(x, y):
  """With a Gaussian kernel the sphere's centre is that of the one-class machine."""
  machine = OneClassSVM(nu=0.2, gamma=0.2, tol=1e-6).fit(x)
  weight = machine.dual_coef_[0] / machine.dual_coef_.sum()
  vectors = machine.support_vectors_
  inner = weight @ rbf_kernel(vectors, vectors, 0.2) @ weight
  return 1 - 2 * rbf_kernel(y, vectors, 0.2) @ weight + inner


ORACLES = {
  'gaussian': lambda x, y: np.sqrt(LedoitWolf().fit(x).mahalanobis(y)),
  'gmm': lambda x, y: (
    -GaussianMixture(3, reg_covar=1e-4, random_state=0).fit(x).score_samples(y)
  ),
  'isolation_forest': lambda x, y: (
    -IsolationForest(n_estimators=20, max_samples=64, random_state=0)
    .fit(x)
    .score_samples(y)
  ),
  'kde': lambda x, y: -KernelDensity(bandwidth=0.7).fit(x).score_samples(y),
  'kernel_pca': by_kernel_pca,
  'knn': lambda x, y: NearestNeighbors(n_neighbors=3).fit(x).kneighbors(y)[0].mean(1),
  'lof': lambda x, y: -LocalOutlierFactor(10, novelty=True).fit(x).score_samples(y),
  'one_class_svm': lambda x, y: (
    -OneClassSVM(nu=0.2, gamma=0.2, tol=1e-6).fit(x).decision_function(y)
    / (0.2 * len(x))
  ),
  'pca': lambda x, y: np.linalg.norm(
    y - PCA(2).fit(x).inverse_transform(PCA(2).fit(x).transform(y)), axis=1
  ),
  'svdd': by_svdd,
}


def vectors():
  random = np.random.default_rng(0)
  mixed = random.normal(size=(150, 4)) @ np.diag([2.0, 1.0, 0.5, 0.2])
  new = random.normal(size=(20, 4))
  return np.float32(mixed), np.float32(np.concatenate([new, [[9.0, -9, 9, -9]]]))


def test_every_detector_has_an_oracle():
  files = (ROOT / 'uad_jax' / 'detectors').glob('*.py')
  names = {file.stem for file in files} - {'__init__', 'catalogue'}
  assert set(ORACLES) == set(DETECTORS) == names


@pytest.mark.parametrize('name', sorted(ORACLES))
def test_scores_are_those_of_scikit_learn(name):
  healthy, new = vectors()
  detector = DETECTORS[name](**OPTIONS.get(name, {}))
  fitted = detector.fit(healthy)
  shapes = {key: value.shape for key, value in fitted.items()}
  assert shapes == detector.shapes(*healthy.shape)
  assert all(value.dtype == np.float32 for value in fitted.values())
  found = np.asarray(jax.jit(detector.score)(fitted, new))
  expected = ORACLES[name](np.float64(healthy), np.float64(new))
  np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
  assert found.argmax() == len(new) - 1


@pytest.mark.parametrize(
  'name, options, sentence',
  [
    ('gmm', dict(components=0), 'gmm: components is 0; allowed is'),
    ('kde', dict(bandwidth=0.0), 'kde: bandwidth is 0.0; allowed is'),
    ('one_class_svm', dict(nu=1.5), 'one_class_svm: nu is 1.5; allowed is'),
    ('svdd', dict(gamma=-1.0), 'svdd: gamma is -1.0; allowed is'),
    ('knn', dict(k=151), 'knn: k is 151; allowed is'),
    ('lof', dict(k=150), 'lof: k is 150; allowed is'),
    ('pca', dict(components=5), 'pca: components is 5; 150 vectors of length 4 allow'),
    ('kernel_pca', dict(components=151), 'kernel_pca: number of vectors is 150'),
  ],
)
def test_what_cannot_be_fitted_is_one_sentence(name, options, sentence):
  with pytest.raises(ValueError, match=sentence):
    DETECTORS[name](**options).shapes(*vectors()[0].shape)


@pytest.mark.parametrize('name', ['kernel_pca', 'one_class_svm', 'svdd'])
def test_more_vectors_than_a_kernel_holds_are_refused(name):
  with pytest.raises(ValueError, match='number of vectors is 100000; allowed is'):
    DETECTORS[name]().shapes(100_000, 9)


def test_a_coreset_covers_the_vectors_and_its_search_is_exact():
  healthy, new = vectors()
  radius = []
  for kept in (5, 20, 80):
    detector = DETECTORS['knn'](k=1, coreset=kept)
    fitted = detector.fit(healthy)
    assert fitted['vectors'].shape == detector.shapes(*healthy.shape)['vectors']
    bank = NearestNeighbors(n_neighbors=1).fit(fitted['vectors'])
    for queries in (healthy, new):
      found = np.asarray(jax.jit(detector.score)(fitted, queries))
      # Near 0 the difference of squares is rounded.
      np.testing.assert_allclose(found, bank.kneighbors(queries)[0][:, 0], atol=5e-3)
    radius.append(bank.kneighbors(healthy)[0].max())
  assert radius[0] > radius[1] > radius[2]
