"""Smaller precisions: a float ONNX graph goes in, an INT8 or FP16 graph comes out.

Everything works on plain ONNX, without torch and without a model family. What a graph loses is
measured by ``export.proof``; the fall-back to float takes that verdict as a function.
"""
