"""Fast arithmetic under the encoders, mostly for the CPU: each computes what PyTorch's own layer computes.

temporal    convolution along time, by frequencies where that takes fewer multiplications
normalise   BatchNorm in training with sums that are right in float32
conv_norm   a convolution and its BatchNorm in one pass over memory
dropout     masks drawn eight values at a time
malloc      freed memory that stays with the process
"""
