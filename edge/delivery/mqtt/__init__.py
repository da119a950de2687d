"""Speaks MQTT with a broker: a configuration goes in, one open connection comes out.

``connection`` is that connection, ``paho_client`` sets up the library, ``refusals`` makes errors of
what a broker says no to. Nothing here reconnects, and nothing here knows the outbox.
"""
