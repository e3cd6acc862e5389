"""Operations on arrays, of jax or numpy, that know nothing else of this package.

Arrays are [B, *S, C], channels last, unless a function says otherwise.
"""
