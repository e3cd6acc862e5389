"""Functions on arrays (filters, losses, densities) that need no other sub-package.

Arrays are [B, *S, C], batch, spatial axes (2-D or 3-D) and channels last, unless a
function says otherwise.
"""
