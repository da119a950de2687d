"""ONNX graphs in float: a torch module goes in, a graph that the devices can run comes out.

``part`` makes one finished graph of one part of a model and keeps it; the other modules are its
steps, and what can be read from a graph (work, OpenVINO's form).
"""
