"""Speaks MQTT with a broker: a configuration goes in, one open connection comes out.

``dialer`` opens connections, and remembers what it learned of the broker; ``connection`` is one of
them. ``paho_client`` sets up the library, ``sockets`` its socket; ``terms`` is what a broker
accepts, ``refusals`` makes errors of what it says no to. Nothing here connects again by itself, and
nothing here knows the outbox.
"""
