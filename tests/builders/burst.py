"""The rule of a burst that never stops: every sample is a message of its alert."""

BURST = {
    "burst": {
        "text": "anything",
        "negatives": "something quite different",
        "threshold": -2,
        "on": {"for": 1, "of": 1},
        "update_every": "50ms",
    }
}
