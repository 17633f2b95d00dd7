"""Folders of images: benchmarks, training sets, how they are prepared and where they come from."""
