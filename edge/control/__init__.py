"""Control over MQTT: a command goes in, other rules are in force and an answer goes out.

``commands`` parses, ``desired`` keeps what was asked for, ``rollout`` compiles and adopts it,
``announce`` and ``homeassistant`` publish what is in force.
"""
