"""Differentiable registration in 2-D and 3-D by one code path.

Arrays are [B, *S, C], channels last. A displacement or velocity is [B, *S, d], in
voxels of its own grid; voxel p of the warped image comes from p + u(p). Losses return
one value per image, [B], so that padding can be left out where the mean is formed.
"""
