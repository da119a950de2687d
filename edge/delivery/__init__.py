"""MQTT: messages go in, PUBACKs come back, and nothing committed is lost in between (docs/mqtt.md).

``message``, ``topics`` and ``payloads`` say what is sent, ``outbox`` keeps it on disk,
``publisher`` sends it over a ``connection``, ``inbox`` receives commands.
"""
