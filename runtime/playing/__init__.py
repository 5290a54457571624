"""Who turns the crank: the live engine with its thread and queues, offline rendering, pacing."""
