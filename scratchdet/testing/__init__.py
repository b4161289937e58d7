"""Ways to get more out of a trained detector: several input sizes, mirrored images, tiles.

What the command line says of them is here, without anything that takes time to import.
"""

from typing import Literal, NamedTuple

Tta = Literal["none", "flip", "ms"]
OVERLAP = 0.2  # of tiles, as a share of a side; as in supervision's InferenceSlicer


class Asking(NamedTuple):
    """How a detector is asked about an image."""

    tta: Tta = "none"
    """Test-time augmentation. flip: about the mirrored image too; ms: as the recipe says."""
    tile: int = 0
    """Longer side of the tiles that images are cut into, in pixels; 0: they are not."""
    overlap: float = OVERLAP
    """Of neighbouring tiles, as a share of their side."""
