"""Data of an alignment: captions, windows of sound, batches, text tokens encoded once."""
