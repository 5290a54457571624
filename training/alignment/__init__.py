"""`clavilux train`: an audio encoder of one's own, aligned with a text encoder on captioned sounds."""
