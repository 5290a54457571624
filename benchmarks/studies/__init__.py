"""Studies of speed, a question each, run as commands of their own. Nothing else imports them."""
