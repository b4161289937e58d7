"""The average of the weights over the steps: usually better than the last ones, and steadier."""

import copy

import torch

from scratchdet.models.detector import Detector


class AveragedWeights:
    """`ema.detector` holds the average. A decay of 0 keeps it equal to the trained detector.

    The first steps, from random weights, are forgotten faster: the decay is at most
    (1 + n) / (10 + n) after n updates.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.decay = decay
        self.detector = copy.deepcopy(detector).eval().requires_grad_(False)

    def restart(self, detector: Detector) -> None:
        """Makes the average equal to `detector`, and its images normalised as for that one."""
        self.detector.load_state_dict(detector.state_dict())
        self.detector.mean, self.detector.std = detector.mean.clone(), detector.std.clone()
        self.detector.channel_order = detector.channel_order

    @torch.no_grad()
    def update(self, detector: Detector, updates: int) -> None:
        """Moves the average towards `detector`; `updates`: how many there were before."""
        weight = 1 - min(self.decay, (1 + updates) / (10 + updates))
        trained = detector.state_dict()
        for name, average in self.detector.state_dict().items():
            if average.is_floating_point():
                average.lerp_(trained[name], weight)
            else:  # BatchNorm's count of batches
                average.copy_(trained[name])
