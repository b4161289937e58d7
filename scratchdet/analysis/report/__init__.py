"""The report of a run: one HTML file with all that is known of it."""
