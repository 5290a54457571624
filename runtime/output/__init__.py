"""A picture after the decoder: where it goes, and what becomes of it on the way."""
