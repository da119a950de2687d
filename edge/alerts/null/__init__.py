"""Learns a rule's null distribution: its margins while nothing happens, and how often they alarm.

Margins go in; the threshold for a given number of false alarms per day comes out. ``clusters`` cuts
the stream of margins into clusters, ``peaks`` keeps the largest value of each, ``tail`` fits the
tail of these peaks, ``reservoir`` remembers all margins, and ``alarms`` combines them. ``hours``
remembers when that was, ``hour_rates`` tells how alarms spread over the hours of the week, and
``estimate`` gives what a rule asks for. Pure.
"""

from edge.alerts.null.alarms import AlarmTail
from edge.alerts.null.estimate import Estimate, Start

__all__ = ["AlarmTail", "Estimate", "Start"]
