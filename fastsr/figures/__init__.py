"""Figures: comparisons of images, training curves and sheets of samples."""
