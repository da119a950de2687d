"""One tiny checkpoint of each CLIP-like family, opened, taken apart and exported once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx
import pytest
import tiny_checkpoints as testing

from edge.model.bundle.manifest import Role
from edge.rules.text import Tokenizer
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.families import assemble
from export.families.base import Assembly, Part
from export.graph.to_onnx import to_onnx

SAVE = {
    "clip": testing.tiny_clip,
    "siglip2": testing.tiny_siglip2,
    "chinese_clip": testing.tiny_chinese_clip,
    "vision_text_dual_encoder": testing.tiny_dual_encoder,
    "open_clip": testing.tiny_open_clip,
}


@dataclass(frozen=True)
class Exported:
    checkpoint: Checkpoint
    assembly: Assembly
    graphs: dict[Role, onnx.ModelProto]
    tokenizer: Tokenizer

    def part(self, role: str) -> Part:
        return next(part for part in self.assembly.parts if part.role == role)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    root = tmp_path_factory.mktemp("checkpoints")

    @cache
    def export(family: str) -> Exported:
        checkpoint = open_checkpoint(str(SAVE[family](root / family)))
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
