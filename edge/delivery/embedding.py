"""Encodes embeddings as CBOR, with an int8 vector and a scale (docs/schemas/embedding.cddl)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import cbor2
import numpy as np
from numpy.typing import NDArray

EMBEDDING_SCHEMA: Final = "edge-embedding/1"

# RFC 8746, section 2.1: typed array of signed bytes. RFC 8949, section 3.4.2: epoch time.
_TAG_SINT8 = 72
_TAG_EPOCH = 1
_INT8_MAX = 127
# Larger ones give vectors that are not finite.
_LARGEST_SCALE = float(np.finfo(np.float32).max) / 128
# Largest whole number up to which a float has all; CBOR also has numbers that no float can be.
_MOST_EXACT = 2**53


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Embedding as a subscriber receives it.

    Attributes:
        model: Hash of the bundle; embeddings of different hashes must not be compared.
        vector: float32 [D].
        pts: Presentation time within the stream in seconds, or None.
        at: Arrival of the frame, UTC seconds since the epoch.
        sequence: Number of the camera's sample since the daemon started.
        reason: Reason for which the embedding was published.
    """

    device: str
    camera: str
    model: str
    vector: NDArray[np.float32]
    pts: float | None
    at: float
    sequence: int
    reason: str


def quantise(vector: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """Quantise to symmetric int8: ``vector ≈ q * scale``, error at most ``scale / 2`` + rounding.

    Args:
        vector: float32 [D], finite.

    Returns:
        int8 [D] within ±127, and the scale, a float32 value; 0 for a vector of zeros.

    Raises:
        ValueError: The vector is not one-dimensional, is empty, or is not finite.
    """
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise ValueError(f"expected a finite vector [D], found shape {vector.shape}")
    scale = float(np.float32(np.abs(vector).max() / np.float32(_INT8_MAX)))
    if scale == 0:
        return np.zeros(vector.shape, np.int8), 0.0
    levels = np.rint(vector.astype(np.float64) / scale)
    return levels.clip(-_INT8_MAX, _INT8_MAX).astype(np.int8), scale


def encode_embedding(embedding: Embedding) -> bytes:
    """Encode as CBOR (docs/schemas/embedding.cddl), with the vector as int8 and a scale."""
    levels, scale = quantise(embedding.vector)
    return cbor2.dumps(
        {
            "schema": EMBEDDING_SCHEMA,
            "device": embedding.device,
            "camera": embedding.camera,
            "model": embedding.model,
            "dim": levels.size,
            "scale": scale,
            "vector": cbor2.CBORTag(_TAG_SINT8, levels.tobytes()),
            "pts": embedding.pts,
            "at": cbor2.CBORTag(_TAG_EPOCH, embedding.at),
            "sequence": embedding.sequence,
            "reason": embedding.reason,
        },
        canonical=True,
    )


def decode_embedding(payload: bytes) -> Embedding:
    """Decode the result of ``encode_embedding``.

    Raises:
        ValueError: Not CBOR, another schema, or a field is missing or has another type.
    """
    try:
        fields = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, OverflowError) as exc:
        raise ValueError(
            f"expected an embedding in CBOR, found {len(payload)} other bytes"
        ) from exc
    if not isinstance(fields, dict) or fields.get("schema") != EMBEDDING_SCHEMA:
        raise ValueError(f"expected a CBOR map with schema {EMBEDDING_SCHEMA!r}")
    array = _field(fields, "vector", cbor2.CBORTag)
    dim, scale = _field(fields, "dim", int), _field(fields, "scale", float)
    if array.tag != _TAG_SINT8 or not isinstance(array.value, bytes) or len(array.value) != dim:
        raise ValueError(f"expected 'vector' as a typed array (tag 72) of {dim} signed bytes")
    if not 0 <= scale <= _LARGEST_SCALE:  # also false for what is no number
        raise ValueError(f"expected 'scale' as a finite number from 0, found {scale}")
    return Embedding(
        device=_field(fields, "device", str),
        camera=_field(fields, "camera", str),
        model=_field(fields, "model", str),
        vector=np.frombuffer(array.value, np.int8) * np.float32(scale),
        pts=None if fields.get("pts") is None else _field(fields, "pts", float),
        at=_field(fields, "at", datetime).timestamp(),
        sequence=_field(fields, "sequence", int),
        reason=_field(fields, "reason", str),
    )


def _field(fields: dict[Any, Any], name: str, wanted: type[Any]) -> Any:
    value = fields.get(name)
    # CBOR's shortest form of 2.0 is still a float, but other writers may send the integer 2.
    if wanted is float and isinstance(value, int) and abs(value) <= _MOST_EXACT:
        value = float(value)
    if not isinstance(value, wanted):
        raise ValueError(f"expected {name!r} as {wanted.__name__}, found {value!r:.80}")  # noqa: TRY004  a payload of the wrong form, not a wrong call
    return value
