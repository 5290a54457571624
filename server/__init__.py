"""The websocket protocol, the stage and its viewers, the web instrument, and a Python client; never imports torch."""
