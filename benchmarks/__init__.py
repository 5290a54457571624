"""Benchmarks: latency, throughput and memory, beside the machine's ceiling and other stacks."""
