"""Builds the student: a network of timm and a linear head into the teacher's space."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import ImageSpec
from edge.system.command_line import needing
from export.checkpoints.torch_vision import settle_misfit
from export.checkpoints.weights import sha256_of
from export.families.towers import unit

# Short names of networks that suit small devices. Every other name of timm works as well.
STUDENTS: Final[Mapping[str, str]] = {
    "mobilevit-v2": "mobilevitv2_100",
    "mobilenet-v4": "mobilenetv4_conv_small",
    "efficientnet-lite": "efficientnet_lite0",
    "vit-tiny": "vit_tiny_patch16_224",
}
# The last feature maps are aligned. Earlier, finer ones show edges, which a teacher's layers lack.
_MAPS: Final = 3
_SHOWN: Final = 5


class Student(nn.Module):
    """Turns normalised pictures [B, 3, H, W] into unit rows [B, D] and the last feature maps.

    Attributes:
        map_channels: Channels of each feature map, shallow first.
    """

    def __init__(self, backbone: Any, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.head_hidden_size, dim)
        self.map_channels = tuple(info["num_chs"] for info in backbone.feature_info)[-_MAPS:]

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        final, maps = self.backbone.forward_intermediates(pixels, indices=_MAPS, output_fmt="NCHW")
        return unit(self.head(self._pooled(final))), maps

    def embed(self, pixels: Tensor) -> Tensor:
        """Compute the unit rows [B, D] alone."""
        return unit(self.head(self.features(pixels)))

    def features(self, pixels: Tensor) -> Tensor:
        """Compute the input of the head, [B, F]."""
        return self._pooled(self.backbone.forward_features(pixels))

    def _pooled(self, final: Tensor) -> Tensor:
        pooled: Tensor = self.backbone.forward_head(final, pre_logits=True)
        return pooled


def create(
    name: str,
    dim: int,
    size: tuple[int, int],
    *,
    seed: int = 0,
    weights: Path | None = None,
    pretrained: bool = False,
) -> Student:
    """Build a student. By default its backbone has random weights.

    Args:
        name: A row of ``STUDENTS``, or a network of timm.
        dim: Dimension of the teacher's space.
        size: Height and width of the student's pictures.
        seed: Seed of the random weights.
        weights: safetensors file of the backbone, by timm's names.
        pretrained: Whether to take timm's own weights from the hub.

    Raises:
        ConfigError: timm knows no such network, or cannot download it.
        ModelError: ``weights`` belong to another network.
    """
    timm = _timm()
    full = full_name(name)
    base = full.partition(".")[0]
    if not timm.is_model(base):
        near = get_close_matches(name, [*STUDENTS, *timm.list_models()], _SHOWN) or STUDENTS
        raise ConfigError(
            f"expected a student that timm knows, found {name!r}; some that it knows: "
            f"{', '.join(near)}"
        )
    fixed = getattr(timm.get_pretrained_cfg(base), "fixed_input_size", False)
    options: dict[str, Any] = {"img_size": size} if fixed else {}
    timm.layers.set_fused_attn(enable=False)  # its one operator hides two products from INT8
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            backbone = timm.create_model(full, pretrained=pretrained, num_classes=0, **options)
            student = Student(backbone, dim)
            _try(student, size)
        except (OSError, RuntimeError, AssertionError) as exc:
            raise ConfigError(
                f"{full}: expected timm to create it for pictures of {size[0]}x{size[1]}, found: "
                f"{exc}; choose another --size, or give its file with --weights"
            ) from exc
    if weights is not None:
        _load(backbone, weights)
    return student


def full_name(name: str) -> str:
    """Name of a student in timm."""
    return STUDENTS.get(name, name)


def digest(path: Path) -> str:
    """SHA-256 of a file of weights.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        return sha256_of((path,))
    except OSError as exc:
        raise ModelError(f"{path}: expected weights, found: {exc.strerror}") from exc


def image_spec(student: Student, size: tuple[int, int], teacher: ImageSpec) -> ImageSpec:
    """Preprocessing of the student's pictures: the teacher's crop, timm's mean and deviation."""
    facts = student.backbone.pretrained_cfg
    mean, std = (tuple(255 * float(value) for value in facts[key]) for key in ("mean", "std"))
    return teacher.model_copy(
        update={"height": size[0], "width": size[1], "mean": mean, "std": std}
    )


def _try(student: Student, size: tuple[int, int]) -> None:
    """Run once: some networks report only now that their patches do not divide the picture."""
    with torch.no_grad():
        student.eval()(torch.zeros(1, 3, *size))
    student.train()


def _load(backbone: nn.Module, path: Path) -> None:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"{path}: expected safetensors of the student, found: {exc}") from exc
    known = backbone.state_dict()
    missing = _misfits(known, tensors)
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        raise ModelError(
            f"{path}: expected the weights of this student, found none of the right shape for "
            f"{len(missing)} of its {len(known)} tensors ({shown}); give the file of this network"
        )
    backbone.load_state_dict({name: tensors[name] for name in known})


def _misfits(known: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Sequence[str]:
    """Names of the tensors that are missing or have another shape."""
    return [n for n, tensor in known.items() if n not in found or found[n].shape != tensor.shape]


def _timm() -> Any:
    settle_misfit()
    with needing({"timm", "torchvision"}, "distils", "distill"):
        import timm  # noqa: PLC0415 takes seconds
    return timm
