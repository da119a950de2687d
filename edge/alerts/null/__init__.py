"""The null distribution: what a rule's margins do while nothing happens, and how often they alarm.

``tail`` fits the tail of peaks, ``reservoir`` remembers the bulk, ``alarms`` puts them together:
margins in, threshold for so many false alarms a day out. Pure.
"""

from edge.alerts.null.alarms import AlarmTail, Estimate

__all__ = ["AlarmTail", "Estimate"]
