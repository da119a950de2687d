"""Reads a model bundle from disk: a directory goes in, verified bytes and facts come out.

The format is in docs/bundle-format.md. Every file is opened once and its hash is compared with the
manifest; the manifest itself is compared with its signature.
"""
