"""States what the default bundle is made from, and what its manifest says of the model.

The revision of the bundle is a hash of this recipe, so a bundle of another recipe is built again.
"""

import hashlib
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from calibration import frames
from edge.errors import ModelError
from edge.model.bundle.manifest import (
    Decision,
    EmbeddingSpec,
    ImageSpec,
    ModelFacts,
    ModelInfo,
    Origin,
    TextSpec,
)
from edge.model.bundle.read import open_bundle
from edge.video import preprocess
from export.default_bundle import efficientnet, minilm, packages, towers
from export.default_bundle.concepts import DIM
from export.packages.fetch import Package

NAME = "concepts"
PACKAGES = (
    packages.EFFICIENTNET_LITE0,
    packages.MINILM,
    packages.HUMAN,
    packages.TIMM,
    packages.SCIKIT_VIDEO,
    packages.SCIKIT_IMAGE,
)
IMAGE = ImageSpec(
    height=towers.SIZE[0],
    width=towers.SIZE[1],
    resize="letterbox",
    interpolation="bicubic",
    mean=(efficientnet.MEAN,) * 3,
    std=(efficientnet.STD,) * 3,
)
TEXT = TextSpec(
    context_length=64,
    pad_id=minilm.PAD_ID,
    # MiniLM compares sentences, so a prompt goes in as it is: "a photo of" only adds a direction
    # that all prompts share.
    templates=("{}",),
    background=("an empty scene with nothing in it",),
    coverage_warning=0.5,
)
# The margin is zero at the floor (space.py); the threshold asks for a little more evidence.
DECISION = Decision(threshold=0.02, hysteresis=0.05)


def revision() -> str:
    """Return the hash of the pins, code and words that decide the bundle, 16 hex digits."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        digest.update(json.dumps(asdict(package), sort_keys=True).encode())
    own = sorted((p for p in files(__package__).iterdir() if p.is_file()), key=lambda p: p.name)
    pixels = [Path(frames.__file__), Path(preprocess.__file__)]
    for source in [*own, *pixels]:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def is_current(out: Path) -> bool:
    """Return whether ``out`` already holds the bundle of this recipe, undamaged."""
    try:
        bundle = open_bundle(out)
        bundle.verify()
    except ModelError:
        return False
    return bundle.manifest.model.revision == revision()


def facts() -> ModelFacts:
    """Return what the manifest says of the model."""
    return ModelFacts(
        name=NAME,
        model=ModelInfo(
            family="concepts",
            id="efficientnet-lite0+centernet-mobilenetv3+minilm-l6-v2",
            revision=revision(),
            licence=(
                "Apache-2.0 (EfficientNet-Lite0, MiniLM), WordNet (class names), detector: MIT "
                "package, licence of its origin not stated"
            ),
            origins=tuple(_origin(package) for package in PACKAGES),
        ),
        frame_class="F",
        frames=1,
        embedding=EmbeddingSpec(dim=DIM, logit_scale=1.0),
        image=IMAGE,
        text=TEXT,
        decision=DECISION,
    )


def _origin(package: Package) -> Origin:
    return Origin(
        package=package.name,
        version=package.version,
        registry=package.registry,
        sha256=package.sha256,
        licence=package.licence,
        files=tuple(package.members),
    )
