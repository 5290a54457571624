"""Data and training for encoders and for the default bundle."""
