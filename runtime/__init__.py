"""The instrument itself: sound in, pictures out. Pure cores, thin adapters; never imports torch."""
