"""Measurements, one thing each: a machine, a stage, a rhythm, a start, a browser. They know no report."""
