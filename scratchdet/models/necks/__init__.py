"""A list of feature maps to a longer or better one, fine to coarse."""
