"""``edge demo``: camera, broker, daemon and subscriber on one machine, to see what comes out.

Shipped with the runtime so that it can be pointed at one's own recording or camera. The daemon is
the real one, in a process of its own; the demo knows of it only what came over MQTT.
"""
