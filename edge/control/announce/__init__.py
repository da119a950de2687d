"""Announcements: what is in force goes in, retained messages come out.

``announcer`` publishes the rules, ``alerting`` the alerts that run, ``homeassistant`` describes the
box to Home Assistant, ``retained`` removes what is gone.
"""
