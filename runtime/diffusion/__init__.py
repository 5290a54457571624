"""Prompt embeds become pictures: schedule, noise, guider, denoiser, decoder, and the pipelines that run them."""
