"""Studies behind the figures in the documents, each with its own ``python -m`` command.

Real clips, or synthetic data with known properties, go in; a table or JSON comes out.
``decisions``, ``false_alarms``, ``regimes``, ``temporal`` and ``views`` measure alerts, ``index``
measures the search. ``altered`` makes the pictures of the studies and of some tests.
"""
