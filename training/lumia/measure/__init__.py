"""Measures of the default bundle: what it hears and paints of sound that it never met."""
