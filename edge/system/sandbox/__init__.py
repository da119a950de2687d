"""Takes from a process what handling a camera's bytes does not need.

Whoever finds a fault in a decoder may run code of his own in the process that decodes. In the
sandbox that process writes no file, starts no program, waits for no connection and reaches into no
other process; of the disk it reads what it needs.

``confine`` puts the present process in for ever, by four barriers that each hold by themselves:
limits, no new privileges, Landlock and a filter of system calls. A kernel without one of them is
said, and costs nothing else. ``experiment`` shows in a process of its own what holds on this box.
"""
