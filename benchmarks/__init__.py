"""What is measured: kernels, methods, and everything that still owes a run on a GPU."""
