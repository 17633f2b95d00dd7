"""The generators of the tests of StyleGAN, for the search in them."""

from tests.fastsr.stylegan.conftest import published, small, weights

__all__ = ["published", "small", "weights"]
