"""The Debian package: runtime and units in, a ``.deb`` out, the same bytes each time."""
