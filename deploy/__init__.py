"""Deployment: the runtime goes in; packages, images and containers for boxes come out.

``cli.py`` is ``edge-flash``, on the workstation of whoever prepares boxes. ``units`` has what
systemd reads, ``deb`` the Debian package, ``image`` the image of an x86 NVR, ``jetson`` and
``container`` the other two ways to a box.
"""
