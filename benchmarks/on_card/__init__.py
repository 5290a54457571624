"""A few minutes of an NVIDIA card: all there is to learn on it about Clavilux, `bash benchmarks/on_card/run.sh`."""
