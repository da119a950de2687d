"""How often the log says why the processes of one camera end."""

from edge.video.process.account import HealthAccount
from edge.video.worker import BEGINNING


def test_a_reason_that_differs_in_figures_alone_is_said_once() -> None:
    account = HealthAccount(BEGINNING)
    assert account.failed("its process took 600 MB of memory")
    account.ended("stopped")  # what was is forgotten, but not that it was said
    assert not account.failed("its process took 612.5 MB of memory")
    assert account.health.error == "its process took 612.5 MB of memory"
    assert account.failed("its process was silent for 4.0 s")


def test_a_reason_is_said_again_after_a_while() -> None:
    account = HealthAccount(BEGINNING, again_s=0.0)
    assert account.failed("its process was ended by SIGKILL")
    assert account.failed("its process was ended by SIGKILL")
