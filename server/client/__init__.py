"""The Python client: connecting and reconnecting, the stage as a client sees it, frames, the server's clock."""
