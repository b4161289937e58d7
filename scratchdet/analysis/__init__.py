"""Pictures and reports: what a run learned and what a detector finds."""
