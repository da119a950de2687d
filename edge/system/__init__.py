"""What the daemon needs from the machine and the process around it.

Files that survive a crash, the clock, systemd, paths, passwords kept out of text, waiting between
tries, and how a command line begins and ends. Nothing here knows cameras, models or MQTT.
"""
