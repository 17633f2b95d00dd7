"""fastsr beside the packages that people use for the same work: ``python -m benchmarks.peers``."""
