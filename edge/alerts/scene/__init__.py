"""The scene of a camera: pixels go in; day or night, and whether the camera was moved, come out."""
