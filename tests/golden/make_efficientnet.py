"""Makes efficientnet_lite0.json: logits of the original torch network, by torch.

::

    pip install torch==2.13.0 efficientnet-lite-pytorch==0.1.0
    python make_efficientnet.py efficientnet-lite0-57934424.pth > efficientnet_lite0.json

Our graph takes 288 x 512 and halves it. So the original gets the 2x2 mean, at 144 x 256, and pads
as it does by itself for pictures of any size.
"""

import contextlib
import io
import json
import platform
import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import (  # type: ignore[import-not-found]  # not for the tests
    EfficientNet,
)
from pictures import picture

SIZE = (288, 512)


def main(checkpoint: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints its parameters
        network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    network.eval().double()
    height, width = SIZE
    halves = picture(*SIZE).reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3), np.float64)
    pixels = torch.from_numpy((halves - 127) / 128).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = network(pixels)[0].numpy()
    made_with = f"make_efficientnet.py, torch {torch.__version__}, float64, {platform.machine()}"
    tenth = [round(float(value), 6) for value in logits[::10]]
    document = {"made_with": made_with, "argmax": int(logits.argmax()), "every_tenth": tenth}
    print(json.dumps(document, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1])
