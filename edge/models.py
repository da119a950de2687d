"""From a bundle to running encoders: picks engine and precision, and proves them on the golden set.

Letters in shapes: N pictures, K sentences, L tokens, D embedding.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.config.models import EngineConfig, PromptConfig
from edge.engines import Engine, EngineSettings, TensorSpec, open_engine
from edge.engines.null import null_model
from edge.engines.tensors import describe
from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.manifest import Manifest, Precision, Role
from edge.prompts import PromptBank, compile_bank
from edge.selftest import Report, check_image, check_text
from edge.text import TextEncoder, Tokenizer

_log = logging.getLogger(__name__)

# On x86 OpenVINO is the faster one for INT8.
_AUTO = ("openvino", "onnxruntime")


class ImageEncoder:
    """Pictures to embeddings. Not thread-safe.

    Attributes:
        engine: Tells runtime and device.
        precision: Of the graph.
        report: How the self-test went; None with the null engine, which has nothing to prove.
    """

    def __init__(self, engine: Engine, precision: Precision, report: Report | None) -> None:
        self.engine = engine
        self.precision = precision
        self.report = report

    def encode(self, pixels: NDArray[np.int8]) -> NDArray[np.float32]:
        """Embed pictures.

        Args:
            pixels: int8 [N, 3, H, W], ``u8 ^ 0x80``.

        Returns:
            float32 [N, D], unit rows, owned by the caller.

        Raises:
            InferenceError: Wrong dtype or shape, the runtime failed, or gave no finite numbers.
        """
        embeddings: NDArray[np.float32] = self.engine.run({"pixels": pixels})["embedding"]
        if not np.isfinite(embeddings).all():
            raise InferenceError("expected finite embeddings, found others; the batch is dropped")
        return embeddings


class Compiler(Protocol):
    """Sentences into a prompt bank, by an open text graph."""

    def __call__(
        self, prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
    ) -> PromptBank:
        """Compile ``prompts`` by name against ``background``, or the bundle's where None.

        Raises:
            ConfigError: A prompt cannot be used.
            ModelError: The text graph gives vectors without a direction.
            InferenceError: The engine failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """Both towers of a bundle on the engine of a configuration. Close it, or use ``with``.

    Attributes:
        bundle: Where they come from.
        kind: The engine chosen, a row of ``edge.engines.ENGINES``.
        settings: What the engine was asked for.
        image: Always open.
        text_precision: Of the text graph.
    """

    bundle: Bundle
    kind: str
    settings: EngineSettings
    image: ImageEncoder
    text_precision: Precision

    @contextmanager
    def open_text_engine(self) -> Iterator[Engine]:
        """Open the text graph, for as long as prompts are compiled.

        It is the larger one (about 90 MB here) and is needed only when prompts change.

        Raises:
            ModelError: The graph is not what the manifest says, or fails its self-test.
            EngineUnavailable: The device is gone.
        """
        role: Role = "text"
        engine = _open(self.bundle, role, self.text_precision, self.kind, self.settings)
        try:
            if self.kind != "null":
                entry = self.bundle.entry(role, self.text_precision)
                check_text(engine, self.bundle.golden(), entry.min_cosine or 0)
            yield engine
        finally:
            engine.close()

    @contextmanager
    def open_compiler(self) -> Iterator[Compiler]:
        """Open the text graph to compile prompts with; errors as in ``open_text_engine``."""
        bundle, spec, axes = self.bundle, self.bundle.manifest.text, self.bundle.axes()
        with self.open_text_engine() as engine:
            encoder = TextEncoder(engine, Tokenizer(bundle.tokenizer(), spec), spec)

            def compile_prompts(
                prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
            ) -> PromptBank:
                return compile_bank(
                    prompts,
                    spec.background if background is None else background,
                    encoder,
                    spec,
                    model_hash=bundle.hash,
                    axes=axes,
                )

            yield compile_prompts

    def close(self) -> None:
        """Free the image engine. Closing twice is allowed."""
        self.image.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_models(bundle: Bundle, config: EngineConfig) -> Models:
    """Open the bundle's image graph as ``config`` says, after it proved itself on the golden set.

    Raises:
        EngineUnavailable: The engine or its device is not there. Nothing else is tried instead.
        ModelError: The bundle lacks the precision, or a graph is not what the manifest says or
            fails its self-test.
        InferenceError: The engine failed on the golden set.
    """
    kind = _installed() if config.kind == "auto" else config.kind
    settings = EngineSettings(config.device, config.threads)
    precision = _image_precision(bundle, config)
    engine = _open(bundle, "image", precision, kind, settings)
    try:
        report = None
        if kind == "null":
            _log.warning("engine null: embeddings mean nothing")
        else:
            entry = bundle.entry("image", precision)
            report = check_image(engine, bundle.golden(), entry.min_cosine or 0)
    except BaseException:
        engine.close()
        raise
    _log.info("image model %s on %s, %s", precision, engine.runtime, engine.device)
    # Compiling prompts is rare, so the most exact graph there is.
    text_precision = bundle.precisions("text")[0]
    return Models(bundle, kind, settings, ImageEncoder(engine, precision, report), text_precision)


def _installed() -> str:
    for kind in _AUTO:
        if find_spec(kind):
            return kind
    raise EngineUnavailable(
        f"engine auto: expected one of {', '.join(_AUTO)}, found none installed. Install one "
        "with: pip install 'camera-edge-runtime[openvino]'"
    )


def _image_precision(bundle: Bundle, config: EngineConfig) -> Precision:
    available = bundle.precisions("image")
    if config.precision == "auto":
        return available[-1]  # the smallest
    if config.precision not in available:
        raise ModelError(
            f"{bundle.path}: expected an image graph in {config.precision}, found "
            f"{', '.join(available)}; set engine.precision to one of these, or auto"
        )
    return config.precision


def _open(
    bundle: Bundle, role: Role, precision: Precision, kind: str, settings: EngineSettings
) -> Engine:
    inputs, outputs = _signature(bundle.manifest, role)
    model = null_model(inputs, outputs) if kind == "null" else bundle.read(role, precision)
    engine = open_engine(kind, model, settings)
    name = bundle.entry(role, precision).file
    try:
        _check_signature(name, "input", inputs, engine.inputs)
        # Further outputs are allowed: a text graph may also tell its coverage.
        wanted = {spec.name for spec in outputs}
        found = tuple(spec for spec in engine.outputs if spec.name in wanted)
        _check_signature(name, "output", outputs, found)
    except ModelError:
        engine.close()
        raise
    return engine


def _signature(
    manifest: Manifest, role: Role
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    image = manifest.image
    inputs = {
        "image": TensorSpec("pixels", "int8", (None, 3, image.height, image.width)),
        "text": TensorSpec("input_ids", "int64", (None, manifest.text.context_length)),
    }
    return (inputs[role],), (TensorSpec("embedding", "float32", (None, manifest.embedding.dim)),)


def _check_signature(
    name: str, what: str, expected: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]
) -> None:
    if len(expected) != len(found) or not all(map(_serves, expected, found)):
        raise ModelError(
            f"{name}: expected the {what} {_words(expected)}, found {_words(found)}; build the "
            "bundle again"
        )


def _serves(expected: TensorSpec, found: TensorSpec) -> bool:
    """Whether a graph's tensor takes what is expected; it may be dynamic where we are fixed."""
    return (
        (expected.name, expected.dtype) == (found.name, found.dtype)
        and len(expected.shape) == len(found.shape)
        and all(
            have is None or have == want
            for want, have in zip(expected.shape, found.shape, strict=True)
        )
    )


def _words(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {describe(spec.shape)}" for spec in specs) or "none"
