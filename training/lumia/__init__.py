"""The default bundle, from packages to the published folder: `python -m clavilux.training.lumia.make`."""
