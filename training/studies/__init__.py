"""Studies of training, a question each: what a choice is worth. Nothing else imports them."""
