"""Students: networks of timm with a head into the teacher's space."""

from pathlib import Path

import numpy as np
import pytest
import torch
from classroom import Classroom
from safetensors.torch import save_file

from edge.errors import ConfigError, ModelError
from edge.model.bundle.read import Bundle
from export.distill import students
from export.distill.recipe import LossWeights
from export.distill.students import STUDENTS, create, image_spec
from export.distill.training import losses
from export.distill.training.trainee import held_out, joint_loss


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext"])
def test_a_student_gives_unit_vectors_and_its_last_stages(name: str) -> None:
    student = create(name, 24, (32, 48)).eval()
    pixels = torch.randn(3, 3, 32, 48)
    with torch.no_grad():
        embedding, maps = student(pixels)
        alone = student.embed(pixels)
    assert embedding.shape == (3, 24)
    assert torch.linalg.vector_norm(embedding, dim=1) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(alone, embedding, atol=1e-6)
    assert len(maps) == 3
    assert tuple(one.shape[1] for one in maps) == student.map_channels
    assert all(one.ndim == 4 for one in maps)


def test_the_seed_decides_the_weights_and_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = (create("test_vit", 24, (32, 32), seed=seed) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert torch.equal(one.head.weight, same.head.weight)
    assert torch.equal(
        one.backbone.blocks[0].attn.qkv.weight, same.backbone.blocks[0].attn.qkv.weight
    )
    assert not torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize("name", STUDENTS)
def test_every_named_student_is_a_network_of_timm(name: str) -> None:
    assert students._timm().is_model(students.full_name(name))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mobilenetv5_small", "mobilenetv3_small"),
        ("mobilevit-v3", "mobilevit-v2"),
        ("efficientnet_b99", "efficientnet_b"),
        ("", "mobilevit-v2, mobilenet-v4"),
    ],
)
def test_an_unknown_student_is_refused_with_near_names(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"found '{name}'; some that it knows: .*{near}"):
        create(name, 24, (32, 32))


@pytest.mark.parametrize(("name", "size"), [("test_vit", (33, 47)), ("test_convnext", (2, 2))])
def test_pictures_that_a_network_cannot_take_are_refused_at_once(
    name: str, size: tuple[int, int]
) -> None:
    expected = rf"expected timm to create it for pictures of {size[0]}x{size[1]}, .*choose another"
    with pytest.raises(ConfigError, match=expected):
        create(name, 24, size)


def test_weights_of_a_file_are_taken_with_any_classifier_left_aside(tmp_path: Path) -> None:
    given = create("test_vit", 24, (32, 32), seed=5)
    tensors = {name: t.contiguous() for name, t in given.backbone.state_dict().items()}
    save_file(tensors | {"head.weight": torch.zeros(1000, 64)}, tmp_path / "w.safetensors")
    found = create("test_vit", 24, (32, 32), seed=6, weights=tmp_path / "w.safetensors")
    state = found.backbone.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert not torch.equal(found.head.weight, given.head.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = create("test_efficientnet", 24, (32, 32)).backbone.state_dict()
    save_file(tensors, path)
    with pytest.raises(
        ModelError, match=r"w.safetensors: expected the weights of this student, .*\(.*\); give"
    ):
        create("test_vit", 24, (32, 32), weights=path)


@pytest.mark.parametrize("data", [b"", b"no weights at all", None])
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ModelError, match=r"w.safetensors: expected safetensors of the student"):
        create("test_vit", 24, (32, 32), weights=path)


def test_the_digest_of_weights_is_of_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"abc")
    assert students.digest(path).startswith("ba7816bf")
    with pytest.raises(ModelError, match="expected weights, found: No such file"):
        students.digest(tmp_path / "none")


def test_pictures_are_cut_as_the_teachers_and_normalised_as_timm_says(bundle: Bundle) -> None:
    teacher = bundle.manifest.image
    found = image_spec(create("vit-tiny", 24, (64, 64)), (64, 64), teacher)
    assert (found.resize, found.interpolation) == (teacher.resize, teacher.interpolation)
    assert (found.height, found.width) == (64, 64)
    assert found.mean == pytest.approx((127.5,) * 3)
    assert found.std == pytest.approx((127.5,) * 3)


def test_pixels_reach_the_network_as_the_device_sends_them(room: Classroom) -> None:
    trainee = room.trainee()
    spec = room.spec(trainee.student)
    pixels = torch.tensor([-128, 0, 127], dtype=torch.int8).reshape(1, 1, 1, 3).expand(1, 3, 1, 3)
    found = trainee.normalised(pixels)
    for channel in range(3):
        expected = (np.array([0, 128, 255]) - spec.mean[channel]) / spec.std[channel]
        assert found[0, channel, 0].numpy() == pytest.approx(expected, rel=1e-5)


def test_a_trainee_without_alignment_costs_nothing_by_itself(room: Classroom) -> None:
    trainee = room.trainee().eval()
    pixels = torch.zeros(2, 3, 32, 32, dtype=torch.int8)
    maps = [torch.randn(2, 32, 4, 4).half() for _ in room.shapes]
    aligned, cost = trainee(pixels, maps)
    plain, none = trainee(pixels, [])
    assert cost > 0
    assert none == 0
    assert torch.equal(aligned, plain)
    trainee._weight = 0.5
    halved = trainee(pixels, maps)[1]
    assert halved.item() == pytest.approx(cost.item() / 2)


def rows(seed: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 24, generator=generator), dim=1)


def test_the_joint_loss_is_the_weighted_sum_of_its_parts() -> None:
    student, teacher, captions, bank = (
        rows(seed, count) for seed, count in enumerate((5, 5, 5, 9))
    )
    parts = {
        "mimicry": losses.mimicry(student, teacher),
        "relational": losses.relational(student, teacher, bank, 10),
        "contrastive": losses.contrastive(student, captions, 10),
    }
    for name, value in parts.items():
        only = LossWeights(**dict.fromkeys(parts, 0.0) | {name: 3.0}, alignment=0)
        assert joint_loss(student, teacher, captions, bank, 10, only) == pytest.approx(
            float(3 * value)
        )
    whole = joint_loss(student, teacher, captions, bank, 10, LossWeights(2, 3, 0, 4))
    assert float(whole) == pytest.approx(
        float(2 * parts["mimicry"] + 3 * parts["relational"] + 4 * parts["contrastive"]), rel=1e-5
    )
    silent = joint_loss(student, teacher, captions[:, :0], bank, 10, LossWeights(2, 3, 0, 4))
    assert float(silent) == pytest.approx(
        float(2 * parts["mimicry"] + 3 * parts["relational"]), rel=1e-5
    )


def test_held_out_pictures_are_compared_by_direction_choice_and_retrieval() -> None:
    teacher, bank = rows(0, 6), rows(1, 9)
    same = held_out(teacher, teacher, bank, 10, LossWeights())
    assert (same.same_choice, same.retrieval) == (1, 1)
    assert (same.loss, same.cosine, same.worst) == pytest.approx((0, 1, 1), abs=1e-5)
    turned = torch.cat([teacher[1:2], teacher[:1], teacher[2:]])  # two changed places
    found = held_out(turned, teacher, bank, 10, LossWeights())
    assert found.retrieval == pytest.approx(4 / 6)
    assert found.worst == pytest.approx(float(teacher[0] @ teacher[1]), abs=1e-5)
    chosen = (turned @ bank.T).argmax(1) == (teacher @ bank.T).argmax(1)
    assert found.same_choice == pytest.approx(float(chosen.float().mean()))
    assert found.loss > 0.1
