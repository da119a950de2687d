"""Implements the test camera's protocols: RTSP requests in, responses and RTP packets out."""
