"""Answers search requests: JSON bytes in, JSON bytes out (docs/search.md).

Over MQTT 5 the request's response topic says where the answer goes; this module does not depend on
the transport. Every request gets an answer; it has ``error`` if the search failed.
"""

import base64
import logging
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.config.document import suggestion
from edge.config.fields import Name, Seconds, Text
from edge.delivery.payloads import Count, Instant, Payload, utc
from edge.errors import ConfigError, EdgeError
from edge.rules.bank import PromptBank
from edge.search.index.store import Reader
from edge.search.query import Hit, Page, Query, search
from edge.system.ending import Ended
from edge.system.redact import redact

logger = logging.getLogger(__name__)

SEARCH_SCHEMA: Final = "edge-search/1"

MOST_REQUEST_BYTES: Final = 4096
_MOST_TEXT: Final = 500
_MOST_HITS: Final = 100
# Offset, and end of the first page's time: samples that arrive later do not shift the pages.
_CURSOR: Final = r"^([0-9]{1,6})@([0-9]{1,11}\.[0-9]{3})$"


class SearchRequest(BaseModel):
    """Request for a search.

    Attributes:
        schema_: ``edge-search/1``.
        text: Sentence to search for.
        since: How far back to search: seconds, or a duration such as ``24h``.
        camera: Camera to search; default all.
        limit: Maximum moments on a page.
        cursor: Cursor from the previous page.
        pictures: Whether the answer contains pictures.
    """

    # Unknown keys are ignored, so that a newer client gets an answer.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    schema_: Literal["edge-search/1"] = Field(alias="schema")
    text: Annotated[Text, Field(max_length=_MOST_TEXT)]
    since: Seconds = Field(default=86_400.0, le=1e10, allow_inf_nan=False)
    camera: Name | None = None
    limit: int = Field(default=20, ge=1, le=_MOST_HITS)
    cursor: Annotated[str, Field(pattern=_CURSOR)] | None = None
    pictures: bool = False


class MomentPayload(Payload):
    """One moment: a stretch of time of one camera that fits the text.

    Attributes:
        camera: Camera that saw it.
        start: Begin of the moment.
        end: End of the moment.
        peak: Time of the sample with the highest smoothed margin.
        score: Highest smoothed margin.
        picture: Nearest picture that was kept, a JPEG in base64; null if none was kept or wanted.
    """

    camera: str
    start: Instant
    end: Instant
    peak: Instant
    score: float
    picture: str | None


class SearchAnswer(Payload):
    """Answer to a search: one page of moments.

    Attributes:
        schema_: ``edge-search/1``.
        moments: Moments, best first.
        samples: Number of samples searched.
        took_s: Duration of the search in seconds.
        cursor: Cursor for the next page; null on the last page.
        error: Reason why the search failed; null if it did not.
    """

    schema_: Literal["edge-search/1"] = Field(default=SEARCH_SCHEMA, alias="schema")
    moments: tuple[MomentPayload, ...] = ()
    samples: Count = 0
    took_s: float = 0.0
    cursor: str | None = None
    error: str | None = None


class Answerer:
    """Answerer of search requests. Only one thread may use it.

    Args:
        reader: Index to search.
        compile_text: Compiles a sentence into a bank.
        now: Clock, UTC seconds.
        cameras: Gives the cameras in force; those of the index are known too.
    """

    def __init__(
        self,
        reader: Reader,
        compile_text: Callable[[str], PromptBank],
        now: Callable[[], float] = time.time,
        *,
        cameras: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._reader = reader
        self._compile = compile_text
        self._cameras = cameras
        self._now = now

    def answer(self, payload: bytes) -> bytes:
        """Answer a request; an invalid one gets an answer with ``error``."""
        try:
            return self._answered(_read(payload)).to_json()
        except (EdgeError, OSError) as exc:
            return SearchAnswer(error=redact(str(exc))).to_json()
        except Ended:
            raise
        except Exception as exc:  # the thread's owner: one search fails
            logger.exception("a search failed")
            return SearchAnswer(error=redact(f"{type(exc).__name__}: {exc}")).to_json()

    def _answered(self, request: SearchRequest) -> SearchAnswer:
        known_camera(request.camera, {*self._reader.cameras(), *self._cameras()})
        offset, until = position(request.cursor, self._now())
        query = Query(until - request.since, until, request.camera, request.limit, offset)
        page = search(self._reader, self._compile(request.text), query)
        return answer_of(query, page, _base64 if request.pictures else None)


def answer_of(
    query: Query, page: Page, picture: Callable[[Path], str | None] | None
) -> SearchAnswer:
    """Return a page as an answer; ``picture`` turns a picture's path into text."""
    return SearchAnswer(
        moments=tuple(_moment(hit, picture) for hit in page.hits),
        samples=page.samples,
        took_s=round(page.took_s, 3),
        cursor=cursor_after(query, page),
    )


def cursor_after(query: Query, page: Page) -> str | None:
    """Return the cursor of the next page; None if there is none."""
    return f"{query.offset + query.limit}@{query.until:.3f}" if page.more else None


def known_camera(camera: str | None, known: Collection[str]) -> None:
    """Check that a camera is known; None stands for all.

    Raises:
        ConfigError: It is not.
    """
    if camera is not None and camera not in known:
        hint = suggestion(camera, sorted(known)) if known else "the index is empty"
        raise ConfigError(f"there is no camera {camera!r:.80}; {hint}")


def position(cursor: str | None, now: float) -> tuple[int, float]:
    """Return the offset of a page, and the end of its time, UTC seconds.

    Raises:
        ConfigError: The cursor is invalid.
    """
    if cursor is None:
        return 0, round(now, 3)
    match = re.match(_CURSOR, cursor)
    if match is None:
        raise ConfigError(f"expected the cursor of an answer, found {cursor[:32]!r}")
    return int(match[1]), float(match[2])


def _read(payload: bytes) -> SearchRequest:
    """Read a request.

    Raises:
        ConfigError: The payload is not a valid request.
    """
    if len(payload) > MOST_REQUEST_BYTES:
        raise ConfigError(f"expected a request of at most {MOST_REQUEST_BYTES} bytes, found more")
    try:
        return SearchRequest.model_validate_json(payload)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise ConfigError(f"{where}: {first['msg']}") from None


def _moment(hit: Hit, picture: Callable[[Path], str | None] | None) -> MomentPayload:
    moment = hit.moment
    return MomentPayload(
        camera=hit.camera,
        start=utc(moment.start),
        end=utc(moment.end),
        peak=utc(moment.peak),
        score=round(moment.score, 6),
        picture=picture(hit.picture) if picture and hit.picture else None,
    )


def _base64(picture: Path) -> str | None:
    try:
        return base64.b64encode(picture.read_bytes()).decode()
    except OSError:
        return None  # the segment has expired meanwhile, or the disk has lost the picture
