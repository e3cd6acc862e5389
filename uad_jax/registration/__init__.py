"""Differentiable image registration (affine and deformable) for 2-D and 3-D images.

Images are [B, *S, C], channels last. A displacement field u or velocity field v is
[B, *S, d], in voxels of its grid; voxel p of a warped image is sampled at p + u(p).
Losses return one value per image, [B], so that the caller can leave padding out of the
mean.
"""
