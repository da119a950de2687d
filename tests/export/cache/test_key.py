"""The key of a step: what decides a result is part of it, and nothing else."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from export.cache import key
from export.cache.key import code_version, digest, source_digest, sources, step_key

KEY = step_key("quantize", "code1", {"model": "aa"}, {"bits": 8})
AGREEMENT, GATES = "export.proof.agreement", "export.proof.gates"


def test_anything_that_decides_the_result_makes_another_step() -> None:
    others = {
        step_key("reshape", "code1", {"model": "aa"}, {"bits": 8}),
        step_key("quantize", "code2", {"model": "aa"}, {"bits": 8}),
        step_key("quantize", "code1", {"model": "ab"}, {"bits": 8}),
        step_key("quantize", "code1", {"frames": "aa"}, {"bits": 8}),
        step_key("quantize", "code1", {"model": "aa"}, {"bits": 4}),
        step_key("quantize", "code1", {"model": "aa"}),
    }
    assert len(others) == 6
    assert KEY not in others
    assert step_key("s", "c", {"a": "1", "b": "2"}) == step_key("s", "c", {"b": "2", "a": "1"})


def test_an_arrays_hash_tells_its_shape_and_type() -> None:
    row = np.arange(6, dtype=np.int8)
    arrays = (row, row.reshape(2, 3), row.view(np.uint8), row[::-1], row.astype(np.int16))
    assert len({digest(array) for array in arrays}) == len(arrays)
    assert digest(row.reshape(2, 3).T.T) == digest(row.reshape(2, 3))
    assert digest(np.array(b"")) != digest(b"")


def test_other_code_or_another_version_of_a_package_is_another_code_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = code_version((AGREEMENT,), ("numpy",))
    assert one == code_version((AGREEMENT,), ("numpy",))
    assert one != code_version((AGREEMENT, GATES), ("numpy",))
    monkeypatch.setattr(metadata, "version", lambda package: "0.0")
    assert one != code_version((AGREEMENT,), ("numpy",))


CODE = """'''Halves numbers.'''

class Half:
    '''A half.'''
    def of(self, number):
        '''Half of it.'''
        return number / 2  # exact
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Halves", "Divides", True),
        ("A half.", "One of two.", True),
        ("Half of it.", "It over two.", True),
        ("  # exact", "", True),
        ("number / 2", "(number /\n  2)", True),
        ("/ 2", "/ 3", False),
        ("number", "value", False),
        ("'''Half of it.'''\n", "'''Half of it.'''\n        number += 1\n", False),
    ],
)
def test_comments_and_docstrings_are_no_code(
    tmp_path: Path, old: str, new: str, *, same: bool
) -> None:
    assert old in CODE
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text(CODE)
    other.write_text(CODE.replace(old, new))
    assert (source_digest(one) == source_digest(other)) is same


FILES = {
    "edge/__init__.py": "",
    "edge/far.py": "",
    "export/__init__.py": "from export import always",
    "export/always.py": "",
    "export/start.py": """
import numpy
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from export.typed import Type
def later():
    from export.folder import lazy
    import export.folder.inner.deep
""",
    "export/typed.py": "import export.start",
    "export/folder/__init__.py": "from . import near",
    "export/folder/near.py": "from edge.far import value",
    "export/folder/lazy.py": "",
    "export/folder/inner/__init__.py": "",
    "export/folder/inner/deep.py": "",
    "export/other.py": "import export.start",
}


def test_all_that_a_module_imports_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lazily, for types, in a circle, through a package, by a relative name."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(key, "_HOME", tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in sources(["export.start"]).values()}
    assert found == FILES.keys() - {"export/other.py"}
    assert sources(["numpy", "export.nothing"]).keys() == set()
