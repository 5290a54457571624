"""Peers: other stacks with the same weights, each a worker in a process and an environment of its own."""
