"""ONNX graphs: a torch module goes in, a float graph that the devices can run comes out."""
