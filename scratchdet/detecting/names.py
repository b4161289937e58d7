"""Names for the files of results."""

RESERVED = ("classes",)  # YOLO's list of classes lies among the labels

FRAME = "-frame-"  # between the name of a video and the number of a frame


class Names:
    """Gives every result a name of its own: `a`, and where that is taken `a-2`, `a-3`, ..."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(RESERVED, 1)
        """The names, with the last number that each was given."""
        self.heads: set[str] = set()
        """Of the names that frames could have, what the video would be called."""

    def free(self, name: str, *, frames: bool = False) -> str:
        """`name`, or the first of `name-2`, `name-3`, ... that is free; it is taken now.

        frames: it is a video's, and none that was given before may be that of one of its frames.
        """
        free, number = name, self.taken.get(name, 1)
        while free in self.taken or (frames and free in self.heads):
            number += 1
            free = f"{name}-{number}"
        self.taken[name] = number
        self.taken.setdefault(free, 1)
        if FRAME in free:
            self.heads.add(free.rpartition(FRAME)[0])
        return free
