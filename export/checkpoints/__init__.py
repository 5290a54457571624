"""Checkpoints: found on the hub, in folders or single files; loaded, with LoRAs fused into them."""
