"""NVIDIA's cards: driver, stream, persistent buffers, and ONNX Runtime's three providers for them."""
