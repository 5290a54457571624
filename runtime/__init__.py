"""The instrument: sound in, pictures out. Pure cores, thin adapters; numpy and what providers need, never torch."""
