"""Supervision: the models in a worker process, watched, and started again where it ends or hangs."""
