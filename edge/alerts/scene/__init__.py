"""Watches the scene of a camera: pixels go in; day or night, and changes of the view, come out.

``light`` decides between day and night, ``view`` notices that a camera was moved or covered, and
``scene`` combines both for one camera.
"""
