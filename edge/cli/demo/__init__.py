"""Runs ``edge demo``: a camera, a broker, the daemon and a subscriber on one machine.

The demo ships with the runtime so that users can try their own recording or camera. The daemon is
the real one, in its own process; the demo sees only what the daemon sends over MQTT.
"""
