"""A detector from whatever file holds one."""

from dataclasses import asdict, replace
from pathlib import Path

from scratchdet.data.images import EXTENSIONS
from scratchdet.export.engines import ENGINES
from scratchdet.export.runtime import ExportedDetector
from scratchdet.recipe import Recipe
from scratchdet.recipe_toml import from_toml
from scratchdet.structures import Predictor
from scratchdet.testing import Asking

NO_MODELS = {
    **dict.fromkeys(EXTENSIONS, "an image, and the model comes first"),
    ".pt": "for programs with LibTorch",
}
"""What is given for a model now and then, by its suffix."""


def load_predictor(path: Path, *, device: str = "auto") -> Predictor:
    """The detector at `path`: the folder of a run, a model file, or an exported network.

    device: of a model of torch; an exported network runs on the CPU. Nothing that is not needed is
    imported: an exported network is run without torch.
    """
    if path.suffix.lower() in ENGINES:
        if device not in ("auto", "cpu"):
            raise ValueError(f"--device {device}: an exported network runs on the CPU")
        return ExportedDetector(path)
    if (kind := NO_MODELS.get(path.suffix.lower())) and path.is_file():
        raise ValueError(f"{path} is {kind}: give a run, a model file, an .onnx or an .xml")
    from scratchdet.models.saved import load_model
    from scratchdet.train.device import choose_device

    return load_model(path).to(choose_device(device))


def recipe_of(predictor: Predictor, path: Path) -> Recipe:
    """What `predictor`, of the file at `path`, was trained by; the default, without data, where it
    is not known: of a published Caffe model, say."""
    if isinstance(predictor, ExportedDetector):
        text = predictor.card.recipe
    else:
        from scratchdet.models.saved import find_model, read_metadata

        text = read_metadata(find_model(path)).get("recipe", "")
    return from_toml(text, source=f"{path}, recipe", bases={})


def asked_again(predictor: Predictor, path: Path, asking: Asking) -> Predictor:
    """`predictor`, of the file at `path`, as `asking` says: mirrored, at several scales, in tiles.

    The scales, and how all that is found is merged, are those of the recipe it was trained by.
    """
    if asking.tta != "none":
        from scratchdet.testing.multi_scale import MultiScale

        testing = recipe_of(predictor, path).testing
        if asking.tta == "flip":
            testing = replace(testing, scales=(1.0,), smallest=(0.0,), largest=(1.0,), flip=True)
        predictor = MultiScale(predictor, **asdict(testing))
    if asking.tile:
        from scratchdet.testing.tiling import Tiled

        predictor = Tiled(predictor, tile=asking.tile, overlap=asking.overlap)
    return predictor
