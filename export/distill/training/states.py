"""Keeps states of a training on disk: the last state, to resume from, and the best student so far.

``accelerate`` writes and reads the state itself (weights, optimizer, schedule, random numbers).
This module publishes it by a rename, so that the state named ``last`` is always complete, and adds
a note that names the training.
"""

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from edge.errors import ConfigError, ModelError
from export.checkpoints.weights import sha256_of

_NOTE: Final = "progress.json"
_BEST: Final = "best.safetensors"


@dataclass(slots=True)
class TrainingState:
    """Progress of a phase.

    Attributes:
        epoch: Number of the current epoch, from 0.
        step: Finished steps of the current epoch.
        best: Smallest held-out loss so far.
        waiting: Epochs since the smallest held-out loss.
        done: Whether the phase is over.
        history: Held-out record before the first step and after each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    best: float = float("inf")
    waiting: int = 0
    done: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """States of one phase on disk.

    Args:
        folder: Folder of the phase.
        fingerprint: Fingerprint of the training and phase (``recipe.fingerprint``).
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self._fingerprint = fingerprint

    @property
    def best(self) -> Path:
        """File of the best student so far, with its alignment."""
        return self.folder / _BEST

    def standing(self) -> TrainingState | None:
        """Progress in the last state; None without a state.

        Raises:
            ConfigError: The state belongs to another training.
            ModelError: The state is damaged.
        """
        state = self._last()
        if state is None:
            return None
        path = state / _NOTE
        try:
            note = json.loads(path.read_bytes())
            found, standing = note["fingerprint"], TrainingState(**note["standing"])
            # accelerate would continue without the random numbers of a damaged file.
            damaged = [
                name for name, was in note["files"].items() if sha256_of((state / name,)) != was
            ]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
            raise ModelError(
                f"{path}: expected how far the training is, found: {exc}; remove {self.folder} "
                "and start again"
            ) from exc
        if damaged:
            raise ModelError(
                f"{state / damaged[0]}: expected what was written there, found something else; "
                f"remove {self.folder} and start again"
            )
        if found != self._fingerprint:
            raise ConfigError(
                f"{self.folder}: expected the state of this training, found one of another "
                "teacher, student, recipe or data; give the options that it was begun with, or "
                "another --work"
            )
        return standing

    def load(self, accelerator: Accelerator) -> None:
        """Load the last state into the objects that ``accelerator`` prepared.

        Raises:
            ModelError: The state is damaged.
        """
        state = self._last()
        try:
            accelerator.load_state(str(state))
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as exc:
            raise ModelError(
                f"{state}: expected a state to go on from, found: {exc}; remove {self.folder} and "
                "start again"
            ) from exc

    def save(self, accelerator: Accelerator, standing: TrainingState) -> None:
        """Write the state of all processes, then publish it as ``last``.

        Raises:
            ModelError: The disk cannot be written. The state before is kept.
        """
        new, last, old = (self.folder / name for name in ("new", "last", "old"))
        try:
            if accelerator.is_main_process:
                self.folder.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(new, ignore_errors=True)
            accelerator.wait_for_everyone()
            accelerator.save_state(str(new))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                note = {
                    "fingerprint": self._fingerprint,
                    "standing": asdict(standing),
                    "files": {path.name: sha256_of((path,)) for path in new.iterdir()},
                }
                (new / _NOTE).write_text(json.dumps(note))
                if last.exists():
                    shutil.rmtree(old, ignore_errors=True)
                    last.rename(old)
                new.rename(last)
                shutil.rmtree(old, ignore_errors=True)
        except (OSError, RuntimeError, SafetensorError) as exc:
            raise _refused(self.folder, exc) from exc

    def keep_best(self, trainee: nn.Module) -> None:
        """Write the weights of ``trainee`` as the best student.

        Raises:
            ModelError: The disk cannot be written. The best student before is kept.
        """
        partial = self.best.with_suffix(".partial")
        # Copies, because a quantizer that several layers share has a name in each of them.
        tensors = {name: tensor.clone() for name, tensor in trainee.state_dict().items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial)
            partial.replace(self.best)
        except (OSError, SafetensorError) as exc:
            with suppress(OSError):
                partial.unlink()
            raise _refused(self.folder, exc) from exc

    def load_best(self, trainee: nn.Module) -> None:
        """Load the weights of the best student into ``trainee``.

        Raises:
            ModelError: The weights are damaged.
        """
        try:
            trainee.load_state_dict(load_file(self.best))
        except (OSError, RuntimeError, SafetensorError) as exc:
            raise ModelError(
                f"{self.best}: expected the best student so far, found: {exc}; remove "
                f"{self.folder} and start again"
            ) from exc

    def _last(self) -> Path | None:
        """Folder of the last complete state, ``old`` if a run was killed between two renames."""
        for name in ("last", "old"):
            if (self.folder / name / _NOTE).exists():
                return self.folder / name
        return None


def _refused(folder: Path, exc: Exception) -> ModelError:
    reason = getattr(exc, "strerror", None) or str(exc)
    return ModelError(
        f"{folder}: expected to keep the training there, found: {reason}; free some space and "
        "start again: it goes on from the last whole state"
    )
