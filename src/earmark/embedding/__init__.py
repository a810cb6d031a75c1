"""Sounds → vectors, by a frozen pre-trained model (an ONNX file) or by built-in statistics. No torch."""
