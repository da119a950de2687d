"""A double of pycuda: host memory behind the calls of its driver. No CUDA is here."""
