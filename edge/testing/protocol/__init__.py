"""What the test camera speaks: RTSP requests go in, responses and RTP packets come out."""
