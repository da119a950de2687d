"""The text of a configuration that is right, and changes to it."""

GOOD = """\
device: {id: nvr-01}
bundle: bundles/current
mqtt: {host: broker.example}
prompts:
  intruder: {text: a person climbs a fence}
cameras:
  yard: {url: rtsp://192.0.2.10/stream2}
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def added(line: str, text: str = GOOD) -> str:
    return f"{text}{line}\n"
