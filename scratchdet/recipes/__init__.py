"""The shipped recipes: `RECIPES`, by name."""
