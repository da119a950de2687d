"""Lists sentences that people ask of cameras; each looks different. Models choose among them."""

from typing import Final

SENTENCES: Final = (
    "a person walking", "a person running", "a person lying on the ground",
    "a person climbing a fence", "a person carrying a box", "two people talking",
    "a group of people", "a worker with a hard hat", "a car on the road", "a parked car",
    "a delivery truck", "a bus at a stop", "a bicycle", "a motorcycle", "a dog", "a cat",
    "a bird", "an open door", "an open gate", "a suitcase on the floor", "smoke", "a fire",
    "water on the floor", "snow on the street",
)  # fmt: skip
