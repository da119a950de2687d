"""Opens the checkpoint's own processor of pictures, which its authors prepare pictures with.

A bundle's facts are read from the same file as that processor. The two are compared, so that a
wrong reading is found (``export.proof.own_pixels``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import ModelError

# What a library raises for a file that it does not understand.
_FOREIGN = (
    OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, AssertionError,
    RuntimeError, ArithmeticError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class OwnProcessor:
    """Processor of pictures that belongs to a checkpoint.

    Attributes:
        name: Class and library, for people.
        settings: All settings as the processor understands them, its defaults included; empty where
            it does not say.
        prepare: Makes the model's float picture [3, H, W] of RGB, uint8 [H, W, 3].
    """

    name: str
    settings: Mapping[str, Any]
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the float picture [3, H, W] that the model gets of ``rgb``, uint8 [H, W, 3].

        Raises:
            ModelError: The processor fails.
        """
        try:
            return np.asarray(self.prepare(rgb), np.float32)
        except _FOREIGN as exc:
            raise ModelError(
                f"expected the checkpoint's own {self.name} to take a picture of "
                f"{rgb.shape[1]}x{rgb.shape[0]}, found: {exc}; its preprocessor file is wrong"
            ) from exc


def hf_processor(
    transformers: Any, directory: Path, named: str | None = None
) -> OwnProcessor | None:
    """Open the image processor of a Hugging Face checkpoint; None where its file names none.

    Code of the checkpoint is never run, and nobody is asked whether it may.

    Args:
        transformers: The library.
        directory: Directory of the checkpoint.
        named: Class that the preprocessor file names.

    Raises:
        ModelError: The file names a processor that cannot be opened.
    """
    try:
        processor: Any = transformers.AutoImageProcessor.from_pretrained(
            directory, local_files_only=True, backend="pil", trust_remote_code=False
        )
    except _FOREIGN as exc:
        if named is None:
            return None
        raise ModelError(
            f"{directory}: expected a processor of pictures that transformers "
            f"{transformers.__version__} can open, found {named}: {exc}; without it nobody can say "
            "how the pictures are meant"
        ) from exc

    def prepare(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        picture = Image.fromarray(rgb)
        pixels = np.asarray(processor(images=picture, return_tensors="np")["pixel_values"])
        # A processor of videos takes a picture as a video of one frame.
        first: NDArray[np.float32] = pixels.reshape(-1, *pixels.shape[-3:])[0]
        return first

    name = type(processor).__name__.removesuffix("Pil")
    # A step that is null in a processor is not taken.
    settings = {
        key: False if value is None and key.startswith("do_") else value
        for key, value in processor.to_dict().items()
    }
    return OwnProcessor(f"{name} (transformers {transformers.__version__})", settings, prepare)


def open_clip_processor(open_clip: Any, preprocess: Mapping[str, Any]) -> OwnProcessor:
    """Make open_clip's transform with this ``preprocess_cfg``.

    Raises:
        ModelError: open_clip does not take these settings.
    """
    transform = open_clip.transform
    try:
        settings = transform.merge_preprocess_dict(transform.PreprocessCfg(), dict(preprocess))
        made = transform.image_transform_v2(transform.PreprocessCfg(**settings), is_train=False)
    except _FOREIGN as exc:
        raise ModelError(
            f"expected a preprocess_cfg that open_clip takes, found {dict(preprocess)}: {exc}"
        ) from exc
    return OwnProcessor(
        f"image_transform (open_clip {open_clip.__version__})",
        settings,
        lambda rgb: made(Image.fromarray(rgb)).numpy(),
    )
