"""Checkpoints: a name, a hub repository or a directory goes in, an opened model comes out.

Config, weights and tokenizer are checked before a model is built from them.
"""
