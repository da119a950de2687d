"""Rules: sentences of the configuration go in, a prompt bank (one row for each sentence) comes out.

``plan`` and ``temporal`` take a sentence apart, ``text`` embeds it, ``sharpen`` weighs sentences
by examples.
"""
