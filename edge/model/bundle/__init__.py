"""A model bundle on disk: a directory goes in, verified bytes and facts come out.

The format is in docs/bundle-format.md. Every file is opened once, its hash compared with the
manifest, and the manifest with its signature.
"""
