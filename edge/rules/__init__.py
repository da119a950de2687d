"""Rules: sentences of the configuration go in, a prompt bank (one row for each sentence) comes out.

``plan`` and ``temporal`` take a sentence apart, ``text`` and ``caption`` prepare it for a model,
``compiler`` makes the ``bank`` of all sentences, ``sharpen`` weighs sentences by ``shots``.
"""
