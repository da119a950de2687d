"""A small distillation as a process of its own: TEACHER DATA OUT WORK BATCH [CURVE]."""

import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

# See tests/conftest.py.
sys.modules.setdefault(
    "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
)

from rich.progress import Progress  # noqa: E402

from export.distill import pipeline  # noqa: E402
from export.distill.recipe import Recipe  # noqa: E402

losses: list[float] = []
plain = pipeline._school
pipeline._school = lambda *args: replace(  # type: ignore[assignment]
    plain(*args), on_step=lambda _step, loss: losses.append(loss)
)
teacher, data, out, work, batch, *curve = sys.argv[1:]
pipeline.distill(
    pipeline.Request(
        teacher=Path(teacher), student="test_vit", data=[Path(data)], out=Path(out),
        work=Path(work), size=(32, 32),
        recipe=Recipe(held_out=0.25, epochs=2, qat_epochs=1, batch=int(batch), chunk=8,
                      variations=2, scale=10.0),
    ),
    Progress(disable=True),
)  # fmt: skip
if curve and os.environ.get("RANK", "0") == "0":
    Path(curve[0]).write_text(json.dumps(losses))
