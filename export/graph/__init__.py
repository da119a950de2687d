"""Float ONNX graphs: a torch module goes in, a graph that the devices can run comes out.

``part`` makes the finished graph of one part of a model and keeps it in the cache; most other
modules are its steps. ``macs`` counts a graph's work, and ``openvino_ir`` converts a graph.
"""
