"""The websocket server: protocol, stages and their viewers, the web instrument, a Python client; never torch."""
