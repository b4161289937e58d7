"""Names for the files of results."""

RESERVED = ("classes",)  # YOLO's list of classes lies among the labels


class Names:
    """Gives every result a name of its own: `a`, and where that is taken `a-2`, `a-3`, ..."""

    def __init__(self) -> None:
        self.taken = dict.fromkeys(RESERVED, 1)
        """The names, with the last number that each was given."""

    def free(self, name: str) -> str:
        """`name`, or the first of `name-2`, `name-3`, ... that is free; it is taken now."""
        free, number = name, self.taken.get(name, 1)
        while free in self.taken:
            number += 1
            free = f"{name}-{number}"
        self.taken[name] = number
        self.taken.setdefault(free, 1)
        return free
