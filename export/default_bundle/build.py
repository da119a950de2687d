"""Builds the default bundle: fetches packages, assembles graphs, quantizes, measures and packs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.progress import Progress, TaskID
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from calibration.frames import calibration_set, frames_of
from edge.errors import ModelError
from edge.model.bundle.golden import Golden, GoldenSet
from edge.model.bundle.read import Bundle
from export.bundle.pack import Artefact, golden_npz, workplace, write_bundle
from export.default_bundle import accuracy, centernet, packages, recipe, towers
from export.default_bundle.concepts import Concepts, load_concepts
from export.default_bundle.quantize import quantize_classifier
from export.default_bundle.torch_file import read_state_dict
from export.packages.fetch import fetch
from export.proof.agreement import Prompts
from export.proof.card import Card
from export.proof.card_files import card_files

# Lowest cosine that a device may measure on the golden rows. INT8: the worst of 162 frames of other
# footage lost 0.02.
_MIN_COSINE = {"fp32": 0.999, "int8": 0.96, "text": 0.999, "regions": 0.999}

_GOLDEN_FRAMES = 8
_GOLDEN_REGIONS = 3  # so many of the golden frames: each has a hundred vectors
_GOLDEN_PROMPTS = (
    "a person climbs the fence",
    "a car in a parking lot",
    "a dog in the garden",
    "smoke",
)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Weights, words and frames as the packages hold them.

    Attributes:
        classifier: State dict of EfficientNet-Lite0.
        detector: Graph and weights of CenterNet.
        text: Tensors of MiniLM.
        tokenizer_json: Tokenizer of MiniLM.
        concepts: Axes and anchors.
        street: Frames of the street clip, int8 [M,3,H,W], in the order of the clip.
        photographs: Photographs as int8 pixels, [P,3,H,W].
        licences: Licence texts by their name in the bundle.
    """

    classifier: towers.Weights
    detector: centernet.GraphModel
    text: towers.Weights
    tokenizer_json: bytes
    concepts: Concepts
    street: NDArray[np.int8]
    photographs: NDArray[np.int8]
    licences: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class _Graphs:
    """Graphs of the bundle, finished."""

    image: onnx.ModelProto
    image_int8: onnx.ModelProto
    regions: onnx.ModelProto
    text: onnx.ModelProto


class _Steps:
    """One progress line for the whole build; it names the step that runs."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("building", total=total)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self._progress.update(self._task, description=what)
        yield
        self._progress.advance(self._task)


def build(out: Path, cache: Path, progress: Progress, *, offline: bool = False) -> Bundle:
    """Build the default bundle.

    Args:
        out: Directory of the bundle; an older bundle there is replaced.
        cache: Folder of fetched packages.
        progress: Display of the steps.
        offline: Whether to use the cache only, without the network.

    Raises:
        FetchError: A package is not in the cache and could not be fetched.
        ModelError: A file is damaged or of another form than expected, a variant lost too much, or
            ``out`` cannot be written.
    """
    with workplace(out):
        pass  # a bad ``out`` is refused before the work
    steps = _Steps(progress, total=6)
    with steps.step("fetch packages"):
        members: dict[str, Path] = {}
        for package in recipe.PACKAGES:
            members |= fetch(package, cache, offline=offline, progress=progress)
    with steps.step("read weights and frames"):
        sources = _read(members)
    with steps.step("assemble the image graph"):
        image = towers.image_graph(sources.classifier, sources.detector, sources.concepts)
        regions = towers.regions_graph(sources.detector)
    with steps.step("embed the concepts"):
        tokenizer = Tokenizer.from_str(sources.tokenizer_json.decode())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        texts = [anchor.text for anchor in sources.concepts.anchors]
        anchors = towers.embed_texts(towers.sentence_graph(sources.text), tokenizer, texts)
        text, text_original = (
            towers.text_graph(sources.text, sources.concepts, anchors, stored)
            for stored in (np.float16, np.float32)
        )
    with steps.step("quantize the classifier"):
        frames = calibration_set(np.concatenate([sources.street[::2], sources.photographs]))
        image_int8 = quantize_classifier(image, frames)
    with steps.step("measure and pack"):
        held_out = sources.street[1::2]
        reference = accuracy.image_embeddings(image, held_out)
        facts = recipe.facts()
        original = partial(towers.embed_texts, text_original, tokenizer)
        card = accuracy.measure(
            facts,
            {"fp32": image, "int8": image_int8},
            held_out,
            reference,
            Prompts(
                accuracy.PROMPTS,
                original(accuracy.PROMPTS),
                original(recipe.TEXT.background),
                recipe.DECISION.threshold,
            ),
            (towers.embed_texts(text, tokenizer, texts), original(texts)),
        )
        _gate(card)
        spread = np.linspace(0, len(held_out) - 1, _GOLDEN_FRAMES).round().astype(int)
        ids = [encoding.ids for encoding in tokenizer.encode_batch(list(_GOLDEN_PROMPTS))]
        golden: Golden = {
            "image": GoldenSet({"pixels": held_out[spread]}, {"embedding": reference[spread]}),
            "text": GoldenSet(
                {"input_ids": towers.pad(ids, recipe.TEXT.context_length)},
                {"embedding": original(_GOLDEN_PROMPTS)},
            ),
            "regions": towers.find_regions(regions, held_out[spread[:_GOLDEN_REGIONS]]),
        }
        graphs = _Graphs(image, image_int8, regions, text)
        return write_bundle(out, facts, _artefacts(graphs, sources, golden, card))


def _read(members: dict[str, Path]) -> _Sources:
    def read(ending: str) -> bytes:
        (path,) = (path for member, path in members.items() if member.endswith(ending))
        return path.read_bytes()

    (clip,) = (path for member, path in members.items() if member.endswith("bikes.mp4"))
    photographs = [
        frames_of(path, recipe.IMAGE, fps=1)
        for member, path in sorted(members.items())
        if member.startswith("skimage/data/")
    ]
    return _Sources(
        classifier=read_state_dict(read(".pth")),
        detector=centernet.read_graph_model(read("centernet.json"), read("centernet.bin")),
        text=load_safetensors(read("model.safetensors")),
        tokenizer_json=read("tokenizer.json"),
        concepts=load_concepts(
            read("imagenet_synsets.txt").decode(), read("imagenet_synset_to_lemma.txt").decode()
        ),
        street=frames_of(clip, recipe.IMAGE, fps=10),
        photographs=np.concatenate(photographs),
        licences={name: read(member) for name, member in packages.LICENCES.items()},
    )


def _gate(card: Card) -> None:
    """Refuse a variant that failed its gate: the bundle needs every one of them.

    Raises:
        ModelError: A variant lost too much.
    """
    for name, reasons in card.left_out.items():
        raise ModelError(
            f"{name} lost too much: {'; '.join(reasons)}; another version of onnxruntime may differ"
        )


def _artefacts(
    graphs: _Graphs,
    sources: _Sources,
    golden: Golden,
    card: Card,
) -> dict[str, Artefact]:
    axes = json.dumps(sources.concepts.axes, indent=0, ensure_ascii=False)
    wordnet = files(__package__) / "wordnet-license.txt"
    return {
        "image.fp32.onnx": Artefact(
            "image", graphs.image.SerializeToString(), "fp32", _MIN_COSINE["fp32"]
        ),
        "image.int8.onnx": Artefact(
            "image", graphs.image_int8.SerializeToString(), "int8", _MIN_COSINE["int8"]
        ),
        "regions.fp32.onnx": Artefact(
            "regions", graphs.regions.SerializeToString(), "fp32", _MIN_COSINE["regions"]
        ),
        "text.fp16.onnx": Artefact(
            "text", graphs.text.SerializeToString(), "fp16", _MIN_COSINE["text"]
        ),
        "tokenizer.json": Artefact("tokenizer", sources.tokenizer_json),
        "axes.json": Artefact("axes", axes.encode()),
        "golden.npz": Artefact("golden", golden_npz(golden)),
        **card_files(card),
        "LICENSE.wordnet.txt": Artefact("card", wordnet.read_bytes()),
        **{name: Artefact("card", text) for name, text in sources.licences.items()},
    }
