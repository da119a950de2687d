"""The demo's weights under timm's names."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from edge.errors import ConfigError
from export.distill.students import create
from export.distill.studies import demo


def test_the_demos_weights_compute_what_they_did_under_the_other_names_and_the_other_picture() -> (
    None
):
    network = create("efficientnet-lite", 1, (32, 32)).backbone.eval()
    generator = torch.Generator().manual_seed(0)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    theirs = {
        f"their.{name}": torch.rand(shape, generator=generator).numpy() + 0.5
        for name, shape in shapes.items()
        if not name.endswith("num_batches_tracked")
    }
    ours = demo.timm_weights(theirs, shapes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in ours.items()})
    pixels = torch.rand(1, 3, 32, 32, generator=generator) * 255
    mean, std = (torch.tensor(v).reshape(3, 1, 1) * 255 for v in (
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ))  # fmt: skip
    with torch.no_grad():
        found = functional.batch_norm(
            network.conv_stem((pixels - mean) / std), network.bn1.running_mean,
            network.bn1.running_var, network.bn1.weight, network.bn1.bias, eps=network.bn1.eps,
        )  # fmt: skip
    given = {name: torch.from_numpy(value) for name, value in theirs.items()}
    expected = functional.batch_norm(
        functional.conv2d((pixels - 127) / 128, given["their.conv_stem.weight"], stride=2, padding=1),
        given["their.bn1.running_mean"], given["their.bn1.running_var"],
        given["their.bn1.weight"], given["their.bn1.bias"], eps=1e-3,
    )  # fmt: skip
    inside = (..., slice(1, -1), slice(1, -1))  # padding meant another grey
    assert torch.allclose(found[inside], expected[inside], atol=1e-3)
    with pytest.raises(ConfigError, match="another network"):
        demo.timm_weights({"a": np.zeros((1, 2)), **dict(list(theirs.items())[1:])}, shapes)
