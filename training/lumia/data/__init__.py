"""The default bundle's data: vocabulary, voices, sounds and emoji, each with its origin and licence."""
