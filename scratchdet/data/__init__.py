"""Data sets: reading, writing, decoding, augmenting, batching."""
