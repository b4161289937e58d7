"""Trained detectors as files that other engines run: ONNX, and its runtime without torch."""
