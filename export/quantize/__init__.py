"""Float graphs to INT8 and FP16, on plain ONNX: no torch, no model family."""
