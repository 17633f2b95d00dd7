"""The image operations of fastsr: Triton GPU kernels with exact gradients, each beside its torch definition."""
