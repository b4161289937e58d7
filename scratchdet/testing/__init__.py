"""Ways to get more out of a trained detector: several input sizes, mirrored images, tiles."""
