"""Delivers messages over MQTT; no committed message is lost before its PUBACK (docs/mqtt.md).

Messages go in, made by ``payloads`` for the names in ``topics``. ``outbox`` stores them on disk,
``unsent`` those that need no disk; ``publisher`` sends both over a connection of ``mqtt``, and
``inbox`` receives commands on it. ``device_state`` reports what waits and what was lost. ``client``
is the other side, for the command line.
"""
