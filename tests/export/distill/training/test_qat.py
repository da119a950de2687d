"""The quantization-aware phase rounds exactly as the INT8 graph that is written afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from classroom import Classroom
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import numpy_helper

from edge.errors import ModelError
from export.distill import pupils
from export.distill.result import graph_of
from export.distill.students import Student
from export.distill.training.qat import (
    ActivationQuantizer,
    WeightQuantizer,
    channel_ranges,
    insert_quantizers,
    observe,
    ranges_of,
)
from export.distill.training.states import Checkpoints
from export.distill.training.train import Phase, train
from export.distill.training.trainee import Trainee
from export.graph.reshape import to_bytes
from export.proof.agreement import row_cosines
from export.quantize.qdq import insert_qdq, layers
from export.quantize.qdq_rules import require_qdq_rules
from export.quantize.ranges import measure_ranges
from export.quantize.weight_ranges import channel_ranges as reference_ranges

# Blocks with shortcuts that have layers of their own, attention, and convolutions of every kind.
NETWORKS = [
    "test_vit", "test_resnet", "test_efficientnet", "mobilenetv4_conv_small_035", "test_convnext",
    "test_coatnet",
]  # fmt: skip


def noise(seed: int, count: int) -> np.ndarray:
    """Pictures that differ: blocks of another size each, int8 [N, 3, 32, 32]."""
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        side = 2 ** (index % 4)
        blocks = generator.integers(-128, 128, (3, 32 // side, 32 // side))
        rows.append(np.kron(blocks, np.ones((side, side))))
    return np.asarray(rows, np.int8)


class Rounded:
    """A student with quantizers in it, and its exported graph."""

    def __init__(self, room: Classroom, name: str) -> None:
        self.student = room.student(name).eval()
        self.spec = room.spec(self.student)
        self.trainee = Trainee(self.student, None, self.spec, 0)
        settle(self.student, self.trainee.normalised(torch.from_numpy(noise(0, 32))))
        self.plain = self.rows(noise(1, 8))
        self.sites = insert_quantizers(self.student, torch.zeros(2, 3, 32, 32))
        self.calibration = noise(0, 16)
        pictures = self.trainee.normalised(torch.from_numpy(self.calibration))
        observe(self.student, self.sites, torch.split(pictures, 8))
        self.graph = graph_of(self.student, self.spec)

    @property
    def quantizers(self) -> list[ActivationQuantizer]:
        found = [q for site in self.sites for q in site.inputs if q is not None]
        return [q for q in dict.fromkeys(found) if q.largest.requires_grad]

    def rows(self, pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.student(self.trainee.normalised(torch.from_numpy(pixels)))[0].numpy()

    def int8(self, ranges: dict[str, float]) -> onnx.ModelProto:
        return insert_qdq(self.graph, ranges)


def settle(student: Student, pixels: torch.Tensor) -> None:
    """Give normalizations over batches means other than 0 and 1, as training does."""
    student.train()
    with torch.no_grad():
        for _ in range(20):
            student(pixels)
    student.eval()


@pytest.fixture(scope="module", params=NETWORKS)
def rounded(request: pytest.FixtureRequest, room: Classroom) -> Rounded:
    return Rounded(room, request.param)


def ask(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    return pupils.embeddings(to_bytes(model), pixels)


def test_what_is_trained_is_what_the_int8_graph_computes(rounded: Rounded) -> None:
    """With ranges that were learned: other ones than those of the pictures."""
    before = [q.range for q in rounded.quantizers]
    generator = np.random.default_rng(3)
    with torch.no_grad():
        for quantizer in rounded.quantizers:
            quantizer.largest.mul_(float(generator.uniform(0.25, 0.6)))
    try:
        pixels = noise(2, 8)
        trained = rounded.rows(pixels)
        graph = rounded.int8(ranges_of(rounded.sites, rounded.graph))
        found = row_cosines(ask(graph, pixels), trained)
        samples = [{"pixels": row[None]} for row in rounded.calibration]
        measured = rounded.int8(measure_ranges(rounded.graph, samples))
        ignoring = row_cosines(ask(measured, pixels), trained)
    finally:
        with torch.no_grad():
            for quantizer, value in zip(rounded.quantizers, before, strict=True):
                quantizer.largest.fill_(value)
    assert found.min() >= 0.999
    assert 1 - ignoring.mean() > 5 * (1 - found.mean())
    assert 1 - ignoring.mean() > 1e-3


def test_it_begins_with_the_ranges_that_post_training_measures(rounded: Rounded) -> None:
    samples = [{"pixels": row[None]} for row in rounded.calibration]
    measured = measure_ranges(rounded.graph, samples)
    learned = ranges_of(rounded.sites, rounded.graph)
    inner = [value for value in learned if learned[value] != 127]
    assert inner
    for value in inner:
        assert learned[value] == pytest.approx(measured[value], rel=0.05)  # weights are rounded


def test_each_layer_of_the_graph_has_a_site_and_tensorrt_would_take_it(rounded: Rounded) -> None:
    assert len(rounded.sites) == len(layers(rounded.graph))
    require_qdq_rules(rounded.int8(ranges_of(rounded.sites, rounded.graph)))
    assert None in rounded.sites[0].inputs  # the pictures are bytes already
    assert all(None not in site.inputs for site in rounded.sites[1:])


def test_embedding_without_stages_is_not_rounded(rounded: Rounded) -> None:
    pixels = rounded.trainee.normalised(torch.from_numpy(noise(1, 8)))
    with torch.no_grad():
        embedded = rounded.student.embed(pixels).numpy()
    assert embedded == pytest.approx(rounded.plain, abs=1e-6)
    assert np.abs(rounded.rows(noise(1, 8)) - rounded.plain).max() > 1e-4
    assert ask(rounded.graph, noise(1, 8)) == pytest.approx(rounded.plain, abs=1e-4)


def test_weights_and_ranges_get_gradients(rounded: Rounded) -> None:
    rounded.student.zero_grad()
    pixels = rounded.trainee.normalised(torch.from_numpy(noise(2, 4)))
    rounded.student(pixels)[0][:, 0].sum().backward()
    ranges = [q.largest.grad for q in rounded.quantizers]
    assert all(gradient is not None and gradient.isfinite() for gradient in ranges)
    assert sum(bool(gradient != 0) for gradient in ranges) > len(ranges) / 3  # where some clip
    for name, parameter in rounded.student.named_parameters():
        if name.endswith(".weight") and parameter.ndim > 1:
            assert parameter.grad is not None, name
    rounded.student.zero_grad()


def test_a_graph_of_another_network_is_refused(rounded: Rounded, room: Classroom) -> None:
    other = room.student("test_vit2").eval()
    with pytest.raises(ModelError, match=r"expected the \d+ layers of the traced student"):
        ranges_of(rounded.sites, graph_of(other, room.spec(other)))


def test_quantizers_are_kept_with_the_student(rounded: Rounded, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "any")
    checkpoints.keep_best(rounded.student)
    before = [q.range for q in rounded.quantizers]
    with torch.no_grad():
        for quantizer in rounded.quantizers:
            quantizer.largest.zero_()
    checkpoints.load_best(rounded.student)
    assert [q.range for q in rounded.quantizers] == before
    assert min(before) > 0


def test_a_value_that_two_layers_read_has_one_quantizer(room: Classroom) -> None:
    rounded = Rounded(room, "resnet18")
    inputs = [q for site in rounded.sites for q in site.inputs if q is not None]
    assert len(set(map(id, inputs))) < len(inputs)  # a block and its shortcut


def test_the_second_factor_of_a_product_has_seven_bits(room: Classroom) -> None:
    rounded = Rounded(room, "test_vit")
    products = [site for site in rounded.sites if not site.weight]
    assert len(products) == 2 * len(rounded.student.backbone.blocks)
    for site in products:
        quantizers = [q for q in site.inputs if q is not None]
        assert [q._levels for q in quantizers] == [127, 64]
        assert [q.largest.requires_grad for q in quantizers] == [True, False]


def test_a_training_through_rounding_learns_ranges_and_freezes_norms(
    room: Classroom, tmp_path: Path
) -> None:
    rounded = Rounded(room, "test_efficientnet")
    norms = [m for m in rounded.student.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    def means_of() -> list[torch.Tensor]:
        found = [norm.running_mean for norm in norms]
        return [mean.clone() for mean in found if mean is not None]

    means = means_of()
    before = [q.range for q in rounded.quantizers]
    train(rounded.trainee, Phase("qat", 2, 1e-3, frozen_norms=True), room.school(tmp_path))
    assert all(torch.equal(now, was) for now, was in zip(means_of(), means, strict=True))
    after = [q.range for q in rounded.quantizers]
    assert sum(one != other for one, other in zip(before, after, strict=True)) > len(before) / 2


WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 5)),
    elements=st.floats(-4, 4, width=32),
)


@given(WEIGHTS)
def test_weights_have_the_ranges_of_the_quantizer_of_graphs(weight: NDArray[np.float32]) -> None:
    found = channel_ranges(torch.from_numpy(weight)).numpy()
    assert found == pytest.approx(reference_ranges(weight), rel=1e-6)


@given(WEIGHTS, st.booleans())
def test_a_weight_is_rounded_as_in_the_graph(weight: NDArray[np.float32], plain: bool) -> None:
    """The numbers of ``insert_qdq`` itself, of a graph with one layer; ties may go either way."""
    rows, columns, places = weight.shape
    helper = onnx.helper
    kind = onnx.TensorProto.INT8 if plain else onnx.TensorProto.FLOAT
    to_float: dict[str, Any] = {"to": 1} if plain else {}
    nodes = [helper.make_node("Cast" if plain else "Identity", ["x"], ["a"], name="in", **to_float)]
    nodes.append(helper.make_node("Conv", ["a", "w"], ["y"], name="conv"))
    graph = helper.make_graph(
        nodes, "one",
        [helper.make_tensor_value_info("x", kind, [1, columns, places])],
        [helper.make_tensor_value_info("y", 1, [1, rows, 1])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    found = {
        t.name: numpy_helper.to_array(t) for t in insert_qdq(model, {"a": 1.0}).graph.initializer
    }
    scale = found["w.axis0.scale"]
    theirs = found["w.axis0.q"] * scale[:, None, None]
    ours = WeightQuantizer(plain=plain)(torch.from_numpy(weight)).numpy()
    apart = np.abs(ours - theirs) / scale[:, None, None]
    tie = np.abs(np.abs(weight / scale[:, None, None]) % 1 - 0.5) < 1e-3
    assert (apart[~tie] < 1e-3).all()
    assert (apart < 1.001).all()


@given(st.floats(0.01, 100), st.sampled_from([127, 64]))
def test_an_activation_is_rounded_and_clipped_where_a_byte_ends(
    largest: float, levels: int
) -> None:
    quantizer = ActivationQuantizer(levels)
    quantizer.largest.data.fill_(largest)
    step = largest / levels
    value = torch.tensor([0.0, 0.3, -0.7, 63.6, 126.6, 136.0, -140.0]) * step
    with torch.no_grad():
        found = (quantizer(value) / step).tolist()
    assert found == pytest.approx([0, 0, -1, 64, 127, 127, -128], abs=1e-3)


def test_the_gradient_of_a_range_is_that_of_lsq() -> None:
    """Esser et al., equation 3: rounding error inside, the level outside, scaled by 1/sqrt(N Q)."""
    quantizer = ActivationQuantizer(127)
    quantizer.largest.data.fill_(63.5)  # a step of 0.5
    value = torch.tensor([0.6, -0.2, 90.0, -90.0], requires_grad=True)
    quantizer(value).sum().backward()
    inside = (1 - 1.2) + (0 + 0.4)
    expected = (inside + 127 - 128) / 127 * (4 * 127) ** -0.5  # largest is 127 steps
    assert quantizer.largest.grad is not None
    assert value.grad is not None
    assert float(quantizer.largest.grad) == pytest.approx(expected, rel=1e-4)
    assert value.grad.tolist() == [1, 1, 0, 0]


def test_while_it_observes_it_changes_nothing_and_remembers_the_largest() -> None:
    quantizer = ActivationQuantizer(127)
    quantizer.observing = True
    value = torch.tensor([0.123, -7.0, 3.0])
    assert torch.equal(quantizer(value), value)
    quantizer(torch.tensor([2.0]))
    assert quantizer.range == 7
