"""Delivers messages over MQTT; no committed message is lost before its PUBACK (docs/mqtt.md).

``message``, ``topics`` and ``payloads`` define what is sent, ``outbox`` stores it on disk,
``publisher`` sends it over a ``connection``, ``inbox`` receives commands.
"""
