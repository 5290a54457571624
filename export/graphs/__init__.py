"""Graphs: traced from torch; their arithmetic and storage in float16 or int8. They know no model by name."""
