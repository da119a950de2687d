"""Registry packages: a pinned name and hash go in, a verified file in the cache comes out."""
