"""A clip model asks whether it happened: T frames around the trigger, by a bundle of class C.

Frames come from a ring of each camera's last samples, in the clip model's own pixels; the tower
runs only when a rule of ``kind: clip`` would alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge.config.models import PromptConfig
from edge.errors import ModelError
from edge.model.bundle.manifest import Manifest
from edge.rules.bank import PromptBank
from edge.scoring.frame_class import Scoring
from edge.scoring.margins import margins
from edge.video.sample import Sample


class ClipLook:
    """Confirms by a clip.

    Args:
        scoring: Of a bundle of class C.
        manifest: Of the same bundle.
        background: Of the configuration; None for the bundle's.

    Raises:
        ModelError: The bundle is of another class.
    """

    def __init__(
        self,
        scoring: Scoring,
        manifest: Manifest,
        background: Sequence[str] | None,
    ) -> None:
        if scoring.windows is None:
            raise ModelError(
                f"clip.bundle: expected a model of several frames (class C), found {manifest.name} "
                f"of class {manifest.frame_class}; build one with `edge-export build xclip-base-"
                "patch32 --out DIR`"
            )
        self._open_compiler = scoring.open_compiler
        self._windows = scoring.windows
        self._frames = manifest.frames
        self._threshold = manifest.decision.threshold
        self._background = background
        self._bank: PromptBank | None = None
        self._full: dict[str, int] = {}  # camera -> sequence of the sample that its window ends at

    def prepare(self, prompts: Mapping[str, PromptConfig]) -> None:
        """Compile the rules of ``kind: clip`` with the clip model's own text graph.

        Raises:
            ConfigError: One cannot be compiled.
        """
        if not prompts:
            self._bank = None
            return
        with self._open_compiler() as compile_prompts:
            self._bank = compile_prompts(prompts, self._background)

    def see(self, sample: Sample) -> None:
        """Put a sample into its camera's ring.

        Raises:
            ModelError: It carries no pixels for a clip.
        """
        if sample.clip_pixels is None:
            raise ModelError(f"{sample.camera}: expected pixels for the clip model, found none")
        window = self._windows.push(replace(sample, pixels=sample.clip_pixels))
        if window.is_full:
            self._full[sample.camera] = sample.sequence
        else:
            self._full.pop(sample.camera, None)

    def margin(self, rule: str, sample: Sample) -> float | None:
        """The rule's margin on the clip that ends at ``sample``; None while it has too few frames.

        Raises:
            InferenceError: The engine failed.
        """
        if self._bank is None or self._full.get(sample.camera) != sample.sequence:
            return None
        scored = self._windows.score_windows([sample.camera], self._bank)[sample.camera]
        scores = margins(self._bank, scored.cosines)
        return float(scores.margin[self._bank.names.index(rule)])

    def confirms(self, margin: float) -> bool:
        return margin >= self._threshold

    @property
    def frames(self) -> int:
        """T."""
        return self._frames
