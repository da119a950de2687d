"""Runs the test camera: one listening port, several clips, one thread for each client."""

import logging
import socket
import threading
from collections.abc import Mapping
from os import PathLike
from random import Random
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote

from edge.testing.clip import Clip
from edge.testing.faults import Faults
from edge.testing.habits import PLAIN, Habits
from edge.testing.playback import Passes, Player
from edge.testing.protocol.auth import Authentication, Kind, authentication
from edge.testing.protocol.dialogue import Dialogue, Track
from edge.testing.session import Session

logger = logging.getLogger(__name__)

_ACCEPT_POLL_S = 0.05  # longest delay until power_off takes effect


class TestCamera:
    """RTSP server for tests, used as a context manager.

    Args:
        clips: Clips to serve, by name (the path of the URL). Files are read at once, and a ``Clip``
            may be shared between cameras.
        user: User who must log in; None serves everybody.
        password: Password of the user.
        auth: Kind of authentication: ``basic``, ``digest`` (with MD5), or ``digest-sha-256``.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free port, and keeps it.
        loop: Whether to play every clip for ever, in continuous stream time; otherwise the camera
            closes the connection after the last frame.
        habits: Habits of the camera.

    Attributes:
        faults: Faults of the camera; its attributes may be set at any time.

    Raises:
        SourceError: A clip cannot be read (see ``Clip.read``).
        ValueError: User without password, or an unknown ``auth``.
    """

    __test__: ClassVar[bool] = False  # pytest would collect it as a test class

    def __init__(
        self,
        clips: Mapping[str, str | PathLike[str] | Clip],
        *,
        user: str | None = None,
        password: str | None = None,
        auth: Kind = "digest",
        host: str = "127.0.0.1",
        port: int = 0,
        loop: bool = True,
        habits: Habits = PLAIN,
    ) -> None:
        self._clips = {
            name.strip("/"): clip if isinstance(clip, Clip) else Clip.read(clip)
            for name, clip in clips.items()
        }
        self._user, self._password = user, password
        self._authentication = _Counting(authentication(auth, user, password, habits.login))
        self._host, self._port = host, port
        self._loop, self._habits = loop, habits
        self.faults = Faults()
        self._passes: dict[str, Passes] = {name: [] for name in self._clips}
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepted = 0
        self._acceptor: threading.Thread | None = None
        self._off = threading.Event()

    def __enter__(self) -> Self:
        self.power_on()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.power_off()

    @property
    def port(self) -> int:
        """Port that the camera listens on; with port 0, known once the camera was on."""
        return self._port

    @property
    def clients(self) -> int:
        """Number of open connections."""
        with self._lock:
            return len(self._connections)

    @property
    def rejected_logins(self) -> int:
        """Number of requests so far with a wrong user name or password."""
        return self._authentication.rejected

    def url(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """RTSP URL of a clip, with the camera's credentials or with the given ones.

        Raises:
            KeyError: The camera has no such clip.
        """
        if name not in self._clips:
            raise KeyError(f"expected one of the clips {sorted(self._clips)}, found {name!r}")
        user = self._user if user is None else user
        password = self._password if password is None else password
        userinfo = (
            "" if user is None else f"{quote(user, safe='')}:{quote(password or '', safe='')}@"
        )
        return f"rtsp://{userinfo}{self._host}:{self._port}/{quote(name)}"

    def show(self, name: str, clip: Clip) -> None:
        """Play another clip under a name from now on, to those too that watch already.

        So does a camera that is set to another resolution or codec and does not hang up.

        Raises:
            KeyError: The camera has no clip of this name.
        """
        self.url(name)
        self._clips[name] = clip

    def loops(self, name: str) -> Passes:
        """Begin of each pass of the clip: (wall, monotonic) seconds, oldest first.

        The passes are those of the newest client that played the clip; empty before the first. The
        frame of second ``t`` of the clip is sent ``t`` seconds after the beginning of its pass,
        never sooner (with B-frames, except for their reordering), also after ``stall`` and with
        slow clients.
        """
        with self._lock:
            return list(self._passes[name])

    def power_on(self) -> None:
        """Listen; after ``power_off`` on the same port again. Does nothing while on.

        Raises:
            OSError: The port is taken.
        """
        if self._acceptor is not None:
            return
        listener = socket.create_server((self._host, self._port), backlog=64)
        listener.settimeout(_ACCEPT_POLL_S)
        self._port = listener.getsockname()[1]
        self._off.clear()
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener,), name=f"camera:{self._port}", daemon=True
        )
        self._acceptor.start()

    def power_off(self) -> None:
        """Stop listening and disconnect all clients; return once every thread has ended."""
        if self._acceptor is None:
            return
        self._off.set()
        self._acceptor.join()
        self._acceptor = None
        with self._lock:
            threads = list(self._connections)
        self.drop()
        for thread in threads:
            thread.join()

    def drop(self) -> None:
        """Disconnect every client now; new ones may connect at once."""
        with self._lock:
            for connection in self._connections.values():
                _shut_down(connection)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._off.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                if self.faults.refuse:
                    connection.close()
                else:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accepted += 1
        rng = Random(f"{self.faults.seed}/{self._accepted}")  # noqa: S311 (repeatable on purpose)
        thread = threading.Thread(
            target=self._run_session,
            args=(connection, rng),
            name=f"camera:{self._port}.client{self._accepted}",
            daemon=True,
        )
        with self._lock:
            self._connections[thread] = connection
        thread.start()

    def _run_session(self, connection: socket.socket, rng: Random) -> None:
        def start(track: Track) -> Player:
            return self._start(track, rng)

        habits = self._habits
        dialogue = Dialogue(self._clips, self._authentication, self._host, self.faults, habits)
        try:
            Session(connection, dialogue, self.faults, start, habits).run()
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]
                connection.close()

    def _start(self, track: Track, rng: Random) -> Player:
        passes: Passes = []
        with self._lock:
            self._passes[track.name] = passes
        return Player(
            lambda: self._clips[track.name],
            track.stream,
            track.channels,
            faults=self.faults,
            rng=rng,
            passes=passes,
            loop=self._loop,
            habits=self._habits,
        )


class _Counting:
    """Authentication that counts the wrong credentials."""

    def __init__(self, authentication: Authentication) -> None:
        self.rejected = 0
        self._authentication = authentication

    def challenges(self) -> list[str]:
        return self._authentication.challenges()

    def accepts(self, authorization: str, method: str) -> bool:
        accepted = self._authentication.accepts(authorization, method)
        self.rejected += bool(authorization) and not accepted
        return accepted


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as exc:  # the client was faster
        logger.debug("already disconnected: %s", exc)
