"""The example of docs/testing.md runs as it stands."""

import re
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"


def test_the_example_of_the_guide_works(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    names["test_the_picture_arrives"](tmp_path)
