"""What can be turned while it plays: parameters, declared once."""
