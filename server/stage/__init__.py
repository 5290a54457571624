"""A stage: one engine, its performer and viewers, as state machines behind bounded queues. No socket."""
