"""Names the kinds of pictures."""

from typing import Literal

Kind = Literal["I", "P", "B"]
