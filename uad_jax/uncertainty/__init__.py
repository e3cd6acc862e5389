"""Estimators of predictive uncertainty, with one interface for all methods.

An estimator computes mean and covariance of an output of a method at each voxel, such
as the reconstruction or the displacement field of a registration.
"""
