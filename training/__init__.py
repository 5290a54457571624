"""Training: encoders of one's own, and the default bundle. Never imported by what plays."""
