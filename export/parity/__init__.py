"""Parity: the figures that prove a bundle equal to its original, and whole runs against diffusers' own."""
