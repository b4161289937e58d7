"""The shipped recipes, by name, and the way from a name or a file to a recipe."""

from difflib import get_close_matches
from pathlib import Path

from scratchdet.recipe import Recipe, RecipeError
from scratchdet.recipe_toml import from_toml
from scratchdet.recipes import dsod, own_data, scratchdet, ssd
from scratchdet.recipes.shipped import Shipped

GROUPS: dict[str, dict[str, Shipped]] = {
    "Your own data": own_data.OWN_DATA,
    "SSD": ssd.SSD,
    "ScratchDet": scratchdet.SCRATCHDET,
    "DSOD": dsod.DSOD_RECIPES,
    "GRP-DSOD": dsod.GRP_RECIPES,
    "Ablation: where BatchNorm is, and the learning rate": ssd.NORM_ABLATION,
    "Ablation: the root block": ssd.STEM_ABLATION,
}
RECIPES = {name: shipped for group in GROUPS.values() for name, shipped in group.items()}

MANY_IMAGES = 5_000  # from here on ScratchDet's larger network is worth its time
FEW_IMAGES = 1_000


def list_recipes() -> list[str]:
    """The names of the shipped recipes."""
    return list(RECIPES)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A shipped recipe, or the one in a TOML file. RecipeError if it is neither, or not valid."""
    if str(name_or_path) in RECIPES:
        return RECIPES[str(name_or_path)].recipe
    path = Path(name_or_path)
    if not path.is_file():
        near = get_close_matches(str(name_or_path), RECIPES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "scratchdet recipes lists them"
        raise RecipeError(f"{name_or_path} is neither a recipe file nor a shipped recipe: {hint}")
    bases = {name: shipped.recipe for name, shipped in RECIPES.items()}
    return from_toml(path.read_text(encoding="utf-8"), source=str(path), bases=bases)


def choose_recipe(images: int, *, gpu: bool) -> str:
    """The name of the recipe for so many training images, on a GPU or on a CPU."""
    if gpu:
        return "default" if images >= MANY_IMAGES else "scratchdet300_small_data"
    return "small_data" if images < FEW_IMAGES else "nano"
