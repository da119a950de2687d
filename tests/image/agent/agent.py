"""Runs shell commands that come as lines of JSON through the emulator's port, and answers."""

import base64
import json
import os
import subprocess
import time
from pathlib import Path

PORT = Path("/dev/virtio-ports/edge.test")


def main() -> None:
    with PORT.open("r+b", buffering=0) as port:
        waiting = b""
        while True:
            read = os.read(port.fileno(), 65536)
            if not read:  # nobody is connected
                time.sleep(0.2)
            waiting += read
            *lines, waiting = waiting.split(b"\n")
            for line in lines:
                asked = json.loads(line)
                done = subprocess.run(
                    ["/bin/sh", "-c", asked["command"]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
                answer = {
                    "id": asked["id"],
                    "code": done.returncode,
                    "output": base64.b64encode(done.stdout[-100_000:]).decode(),
                }
                left = json.dumps(answer).encode() + b"\n"
                while left:
                    left = left[os.write(port.fileno(), left) :]


if __name__ == "__main__":
    main()
