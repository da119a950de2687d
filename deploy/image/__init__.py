"""The image of an x86 NVR: packages and a configuration in; image and signed updates out."""
