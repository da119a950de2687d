"""Names the MQTT topics of a device (docs/mqtt.md)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one device.

    Attributes:
        prefix: First level of every topic.
        device: Id of the device.
    """

    prefix: str
    device: str

    @property
    def levels(self) -> tuple[str, str]:
        return self.prefix, self.device

    def everything(self) -> str:
        """Filter of all topics of the device."""
        return f"{self.prefix}/{self.device}/#"

    def status(self) -> str:
        return f"{self.prefix}/{self.device}/status"

    def device_state(self) -> str:
        return f"{self.prefix}/{self.device}/state"

    def alert(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/alert"

    def snapshot(self, camera: str, alert_id: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/snapshot/{alert_id}"

    def embedding(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/embedding"

    def state(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/state"

    def alerting(self, camera: str, rule: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/{rule}/alerting"

    def latest_snapshot(self, camera: str, rule: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/{rule}/snapshot"

    def command(self, *levels: str) -> str:
        """Topic of commands about ``levels``, such as ``("prompt", "van", "enabled")``."""
        return "/".join((self.prefix, self.device, *levels, "set"))

    def in_force(self, *levels: str) -> str:
        """Topic of the value in force of the setting that ``command(*levels)`` sets."""
        return "/".join((self.prefix, self.device, *levels, "state"))

    def search(self) -> str:
        return f"{self.prefix}/{self.device}/search"

    def answer(self) -> str:
        return f"{self.prefix}/{self.device}/answer"
