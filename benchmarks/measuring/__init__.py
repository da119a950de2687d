"""Tools of every measurement: statistics of rounds, facts of the machine, a broker.

Times go in, and quantiles and ratios come out of ``statistics``. ``machine`` describes where a
measurement ran, and ``broker`` gives an address to publish to.
"""
