"""Connects the daemon to the machine and to the process that it runs in.

Contains: files that survive a crash, the clock, systemd, paths, masking of passwords, waits between
attempts, and the start and end of every command line. No module here knows cameras, models or MQTT.
"""
