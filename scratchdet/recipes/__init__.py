"""The shipped recipes, by name, and the way from a name or a file to a recipe."""

from collections.abc import Callable
from pathlib import Path

from scratchdet.recipe import Recipe, RecipeError
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes import nano, scratchdet, ssd

RECIPES: dict[str, Callable[[], Recipe]] = {
    "nano": nano.nano,
    "small_data": nano.small_data,
    "digits": nano.digits,
    "ssd300": ssd.ssd300,
    "scratchdet300_r18": scratchdet.scratchdet300_r18,
    "scratchdet300_r34": scratchdet.scratchdet300_r34,
    "scratchdet300_small_data": scratchdet.scratchdet300_small_data,
}

MANY_IMAGES = 5_000  # from here on the published schedules, made for 16,551, are worth their time
FEW_IMAGES = 1_000


def list_recipes() -> list[str]:
    """The names of the shipped recipes."""
    return list(RECIPES)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A shipped recipe, or the one in a TOML file. RecipeError if it is neither, or not valid."""
    if str(name_or_path) in RECIPES:
        return RECIPES[str(name_or_path)]()
    path = Path(name_or_path)
    if not path.is_file():
        raise RecipeError(
            f"{name_or_path} is neither a recipe file nor one of {', '.join(RECIPES)}"
        )
    bases = {name: recipe() for name, recipe in RECIPES.items()}
    return from_toml(path.read_text(encoding="utf-8"), source=str(path), bases=bases)


def choose_recipe(images: int, *, gpu: bool) -> str:
    """The name of the recipe for so many training images, on a GPU or on a CPU."""
    if gpu:
        return "scratchdet300_r34" if images >= MANY_IMAGES else "scratchdet300_small_data"
    return "small_data" if images < FEW_IMAGES else "nano"
