"""StyleGAN (Karras et al., arXiv 1812.04948): the generator that PULSE searches, and its training."""
