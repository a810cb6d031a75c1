"""Nets as ONNX graphs: every part of a net draws itself, and the whole is a file that any ONNX runtime runs. Needs ``onnx``."""
