"""Checkpoints: a name, a hub repository or a directory goes in, checked files come out.

Config, weights and tokenizer are checked before anything is built from them.

"""
