"""The websocket server, its clients and the web instrument."""
