"""The ring becomes tokens on a grid of hops: log-mel features, energy gate, audio encoder, listener."""
