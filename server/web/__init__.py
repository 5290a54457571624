"""Starlette on uvicorn: routes, headers, the websocket channel, running it. All the server's sockets."""
