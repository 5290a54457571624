"""Parameters, declared once: all that can be turned while it plays."""
