"""A detector over images, videos and streams: annotated pictures, and results as files."""
