"""Where work runs: devices, memory, CUDA graphs and progress bars."""
