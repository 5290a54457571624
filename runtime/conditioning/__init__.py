"""Tokens become prompt embeds over time: gliding, holding, drifting; and the concepts a bundle can name."""
