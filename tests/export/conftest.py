"""One tiny checkpoint of each CLIP-like family, opened, taken apart and exported once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.model.bundle.manifest import Role
from edge.rules.text import Tokenizer

if TYPE_CHECKING:
    import onnx

    from export.checkpoints.checkpoint import Checkpoint
    from export.families.base import Assembly, Part

SAVE = {
    "clip": "tiny_clip",
    "siglip2": "tiny_siglip2",
    "chinese_clip": "tiny_chinese_clip",
    "vision_text_dual_encoder": "tiny_dual_encoder",
    "open_clip": "tiny_open_clip",
}


@dataclass(frozen=True)
class Exported:
    checkpoint: "Checkpoint"
    assembly: "Assembly"
    graphs: "dict[Role, onnx.ModelProto]"
    tokenizer: Tokenizer

    def part(self, role: str) -> "Part":
        return next(part for part in self.assembly.parts if part.role == role)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    import tiny_checkpoints  # noqa: PLC0415  needs torch, which most tests do without

    from export.checkpoints.checkpoint import open_checkpoint  # noqa: PLC0415
    from export.families import assemble  # noqa: PLC0415
    from export.graph.to_onnx import to_onnx  # noqa: PLC0415

    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def export(family: str) -> Exported:
        checkpoint = open_checkpoint(str(getattr(tiny_checkpoints, SAVE[family])(root / family)))
        assembly = assemble(checkpoint)
        graphs = {part.role: to_onnx(part, assembly.opset) for part in assembly.parts}
        tokenizer = Tokenizer(assembly.tokenizer, assembly.facts.text)
        return Exported(checkpoint, assembly, graphs, tokenizer)

    return export


@pytest.fixture(scope="session")
def clip_directory(exported: Callable[[str], Exported]) -> Path:
    directory = exported("clip").checkpoint.directory
    assert directory
    return directory
