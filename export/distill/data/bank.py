"""Lists the generic sentences among which a student learns to choose as its teacher does.

They replace captions for pictures that have none, and describe what cameras see: who, doing what,
where. They are independent of the user's prompts, which stay valid because the student learns the
embedding space and not this list.
"""

from itertools import product
from typing import Final

_WHO: Final = (
    "a person", "a man", "a woman", "a child", "two people", "a group of people", "a worker",
    "a cyclist", "a police officer",
)  # fmt: skip
_DOING: Final = (
    "walking", "running", "standing still", "sitting", "lying on the ground", "falling",
    "climbing a fence", "opening a door", "carrying a box", "pushing a cart", "looking at a phone",
    "riding a bicycle", "crossing the road", "getting out of a car", "waving", "fighting",
)  # fmt: skip
_THINGS: Final = (
    "a car", "a van", "a truck", "a bus", "a train", "a motorcycle", "a bicycle", "a boat",
    "an airplane", "a dog", "a cat", "a bird", "a horse", "a cow", "a sheep", "an elephant",
    "a bear", "a backpack", "a suitcase", "a handbag", "an umbrella", "a bottle", "a cup",
    "a bowl", "a knife", "a chair", "a table", "a sofa", "a bed", "a laptop", "a television",
    "a telephone", "a book", "a clock", "a vase", "scissors", "a traffic light", "a stop sign",
    "a bench", "a ladder", "a fire extinguisher", "a box", "a package", "a trash can", "a flower",
    "a tree", "a potted plant", "fruit", "a pizza", "a cake", "smoke", "fire", "water on the floor",
    "an open door", "a closed gate", "a fence", "a wall", "a window", "a staircase", "an elevator",
)  # fmt: skip
_WHERE: Final = (
    "", "on the street", "in a parking lot", "in front of a house", "in a garden", "in a room",
    "in a corridor", "in a shop", "in a warehouse", "at night", "in the rain", "seen from above",
)  # fmt: skip
_EMPTY: Final = (
    "an empty street", "an empty room", "an empty parking lot", "nothing of interest",
    "a dark picture", "a blurred picture", "snow on the street", "trees in the wind",
)  # fmt: skip


def sentences() -> tuple[str, ...]:
    """The 2,456 sentences of the bank, always the same."""
    acts = [f"{who} {doing}" for who, doing in product(_WHO, _DOING)]
    placed = [f"{what} {where}".strip() for what, where in product((*acts, *_THINGS), _WHERE)]
    return (*placed, *_EMPTY)
