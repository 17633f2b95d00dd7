"""The command ``python -m benchmarks.kernels``."""

from benchmarks.kernels import main

main()
