"""The on-device daemon: RTSP video in, zero-shot alerts and embeddings over MQTT out."""

__version__ = "0.1.0"
