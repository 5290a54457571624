"""Latency and throughput measurements."""
