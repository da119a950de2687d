"""Runs an MQTT broker on loopback inside the demo's process, so none has to be installed.

The broker is amqtt, which speaks MQTT 3.1.1 only and keeps nothing on disk. That is enough to show
messages, but not for the broker of a box (docs/adr/0007).
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final, Self

from edge.errors import ConfigError, PublishError

HOST: Final = "127.0.0.1"
PROTOCOL: Final = "3.1.1"
_LISTENER: Final = "default"
_START_S: Final = 10.0
_STOP_S: Final = 5.0


class LocalBroker:
    """MQTT broker in its own thread; use it as a context manager.

    Attributes:
        port: Free port on which the broker listens; set when the context is entered.

    Raises:
        ConfigError: The ``demo`` extra is not installed.
        PublishError: The broker did not come up.
    """

    def __init__(self) -> None:
        if find_spec("amqtt") is None:
            raise ConfigError(
                "the demo brings its own MQTT broker: expected the package amqtt, found none. "
                "Install it with: pip install 'camera-edge-runtime[demo]'"
            )
        self.port = 0
        self._listening: Future[tuple[int, Callable[[], object]]] = Future()
        self._stop: Callable[[], object]
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def __enter__(self) -> Self:
        # amqtt logs each connection, packet and state, which only its own authors need.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()
        try:
            self.port, self._stop = self._listening.result(_START_S)
        except (OSError, TimeoutError) as exc:
            raise PublishError(f"the demo's broker did not start on {HOST}: {exc}") from exc
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # noqa: PLC0415 extra
        from amqtt.broker import Broker  # noqa: PLC0415 extra

        plugins: dict[str, Any] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
        }
        # amqtt can listen by itself, but does not report which free port it has taken.
        listeners = {_LISTENER: {"type": "external", "bind": HOST}}
        broker = Broker({"listeners": listeners, "plugins": plugins})
        await broker.start()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await broker.external_connected(
                StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
            )

        try:
            server = await asyncio.start_server(connected, HOST, 0)
        except OSError as exc:
            self._listening.set_exception(exc)
        else:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            port = server.sockets[0].getsockname()[1]
            self._listening.set_result((port, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()
            server.close()
        await broker.shutdown()
