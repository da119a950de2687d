"""Smaller precisions: a float ONNX graph goes in, an INT8 or FP16 graph comes out.

Everything works on plain ONNX, without torch, and knows no model family. ``export.proof`` measures
what a graph loses; ``fallback`` takes that verdict as a function.
"""
