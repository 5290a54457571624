"""Execution providers: `Session`, and one file for each provider that runs a graph. None falls back in silence."""
