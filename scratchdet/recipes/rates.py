"""The learning rate that a recipe means."""

from scratchdet.recipe import Recipe


def scaled_rate(recipe: Recipe) -> float:
    """The highest learning rate, for the batch that the recipe has (Goyal et al. 2017)."""
    scale = recipe.data.batch / recipe.optim.reference_batch if recipe.optim.reference_batch else 1
    return recipe.optim.lr * scale
