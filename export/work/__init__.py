"""An export's folder while it is made: whole or not at all, and found again after a stop."""
