"""The export: checkpoints in Hugging Face format become a bundle that is proved equal to them."""
