"""Fast kernels for the encoders, mostly on the CPU; each computes the same as PyTorch's own layer.

temporal    convolution along time, in the frequency domain where that needs fewer multiplications
normalise   BatchNorm in training with sums that are accurate in float32
conv_norm   a convolution and its BatchNorm in one pass over memory
dropout     masks drawn eight values at a time
malloc      freed memory kept by the process
"""
