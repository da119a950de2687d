"""The way to a Jetson: drives NVIDIA's own tools with a root file system with the runtime."""
