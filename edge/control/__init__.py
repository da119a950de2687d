"""Control over MQTT: a command goes in, other rules are in force and an answer goes out.

``commands`` parses, ``desired`` keeps what was asked for, ``preparation`` compiles it off the loop,
``orders`` hands it to the loop, ``announce`` publishes what is in force. ``rollout`` runs these.
"""
