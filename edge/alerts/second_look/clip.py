"""Confirms alerts by a clip model: T frames that end at the trigger, by a bundle of class C.

Frames come from a ring of each camera's last samples, in the clip model's own pixels; the tower
runs only when a rule of ``kind: clip`` would alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edge.config.prompt import PromptConfig
from edge.errors import ModelError
from edge.model.bundle.manifest import Manifest
from edge.rules.bank import PromptBank
from edge.scoring.frame_class import Scoring
from edge.scoring.margins import margins
from edge.scoring.scorers.base import Scored
from edge.video.sample import Sample


class ClipLook:
    """Keeps the last frames of each camera and scores them as a clip.

    Args:
        scoring: Scoring of a bundle of class C.
        manifest: Manifest of the same bundle.
        background: Background sentences of the configuration; None for the bundle's.

    Attributes:
        frames: Frames of a clip, T.
        threshold: Margin from which a clip confirms.

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
        self.frames = manifest.frames
        self.threshold = manifest.decision.threshold
        self._background = background
        self._full: dict[str, int] = {}  # camera -> sequence of the sample that its window ends at

    def prepare(self, prompts: Mapping[str, PromptConfig]) -> "ClipMargin | None":
        """Compile the rules of ``kind: clip`` with the clip model's own text graph.

        Returns:
            Their margins; None where no rule is given.

        Raises:
            ConfigError: A rule cannot be compiled.
        """
        if not prompts:
            return None
        with self._open_compiler() as compile_prompts:
            return ClipMargin(self, compile_prompts(prompts, self._background))

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

    def scored(self, bank: PromptBank, sample: Sample) -> Scored | None:
        """Score the clip that ends at ``sample``; None while it has too few frames.

        Raises:
            InferenceError: The engine failed.
        """
        if self._full.get(sample.camera) != sample.sequence:
            return None
        return self._windows.score_windows([sample.camera], bank)[sample.camera]


class ClipMargin:
    """Margins of compiled rules on clips.

    Args:
        look: The clip model.
        bank: Rules of ``kind: clip``, compiled by it.

    Attributes:
        frames: Frames of a clip, T.
        threshold: Margin from which a clip confirms.
    """

    def __init__(self, look: ClipLook, bank: PromptBank) -> None:
        self.frames = look.frames
        self.threshold = look.threshold
        self._look = look
        self._bank = bank

    def __call__(self, rule: str, sample: Sample) -> float | None:
        """Margin of a rule on the clip that ends at ``sample``; None while it has too few frames.

        Raises:
            InferenceError: The engine failed.
        """
        scored = self._look.scored(self._bank, sample)
        if scored is None:
            return None
        margin = margins(self._bank, scored.cosines).margin
        return float(margin[self._bank.names.index(rule)])
