"""The kept graph of a part: every line of code that can change it is part of its key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exported import Exports

from export.cache import key
from export.cache.key import sources
from export.cache.steps import StepCache
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.families import FAMILIES, assemble
from export.families.base import Assembly
from export.graph.part import export_graph, graph_key

ROOT = Path(key.__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(exports: Exports) -> Checkpoint:
    return open_checkpoint(str(exports.checkpoint("clip")))


@pytest.fixture(scope="module")
def assembly(checkpoint: Checkpoint) -> Assembly:
    return assemble(checkpoint)


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Add one statement to a file of the project, as long as the test runs."""
    whole = Path.read_bytes
    changed: set[Path] = set()

    def read_bytes(path: Path) -> bytes:
        return whole(path) + (b"\n0\n" if path in changed else b"")

    def change(name: str) -> None:
        assert (ROOT / name).is_file()
        changed.add(ROOT / name)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return change


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("export/families/clip.py", True),
        ("export/families/towers.py", True),  # the family imports it
        ("export/families/facts.py", True),
        ("export/checkpoints/checkpoint.py", True),
        ("export/checkpoints/hf_models.py", True),
        ("export/graph/to_onnx.py", True),
        ("export/graph/shapes.py", True),
        ("export/graph/part.py", True),
        ("export/families/xclip_ms.py", False),  # another family
        ("export/cli/build.py", False),
        ("export/quantize/fallback.py", False),
    ],
)
def test_one_statement_of_what_makes_the_graph_makes_another_key(
    checkpoint: Checkpoint, assembly: Assembly, change: Callable[..., Any], name: str, counts: bool
) -> None:
    part = assembly.parts[0]
    before = graph_key(part, assembly, checkpoint)
    assert before == graph_key(part, assembly, checkpoint)
    change(name)
    assert (graph_key(part, assembly, checkpoint) != before) is counts


def test_a_graph_of_other_code_is_made_anew(
    checkpoint: Checkpoint, assembly: Assembly, change: Callable[..., Any], tmp_path: Path
) -> None:
    part, steps = assembly.parts[0], StepCache(tmp_path)
    graph = export_graph(part, assembly, checkpoint, steps)
    assert export_graph(part, assembly, checkpoint, steps) == graph
    assert len(list(tmp_path.iterdir())) == 1
    change("export/families/clip.py")
    export_graph(part, assembly, checkpoint, steps)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_finds_its_code(family: str) -> None:
    module = FAMILIES[family].partition(":")[0]
    found = sources([module])
    assert {module, "export.families.base", "export.checkpoints.checkpoint"} <= found.keys()
