"""Pulse: level, bands, brightness, pitch, onsets and the beat, a hundred readings a second, from the stream itself."""
