import pytest

from edge.video.shortfall import SHORTEST_S, Shortfall


def watch(
    shortfall: Shortfall, begin_s: float, end_s: float, *, fps: float, sampled: float, damaged: int
) -> None:
    """Feed a stream: ``fps`` packets and ``sampled`` samples a second, each packet so damaged."""
    packets = round((end_s - begin_s) * fps)
    for number in range(packets):
        now = begin_s + number / fps
        if int(number * sampled / fps) > int((number - 1) * sampled / fps):
            shortfall.sampled(now)
        shortfall.arrived(now, damaged)


def test_a_stream_is_judged_once_it_is_long_enough() -> None:
    shortfall = Shortfall(2.0, 0.0)
    watch(shortfall, 0, SHORTEST_S - 1, fps=25, sampled=0.1, damaged=0)
    assert shortfall.reason is None
    watch(shortfall, SHORTEST_S - 1, SHORTEST_S + 1, fps=25, sampled=0.1, damaged=0)
    assert shortfall.reason is not None


@pytest.mark.parametrize(
    ("fps", "sampled", "damaged", "word"),
    [
        (25, 0.1, 1, "25 packets or frames a second are damaged"),
        (0.4, 0.4, 0, "the camera sends 0.42 pictures a second"),
        (25, 0.1, 0, "I-frame interval"),
    ],
)
def test_the_reason_says_what_to_do(fps: float, sampled: float, damaged: int, word: str) -> None:
    shortfall = Shortfall(2.0, 0.0)
    watch(shortfall, 0, 20, fps=fps, sampled=sampled, damaged=damaged)
    assert shortfall.reason is not None
    assert shortfall.reason.startswith("only ")
    assert word in shortfall.reason


@pytest.mark.parametrize(("wanted", "fps"), [(2.0, 1.0), (0.2, 25.0), (2.0, 25.0)])
def test_a_slow_camera_and_a_rare_sample_are_no_trouble(wanted: float, fps: float) -> None:
    shortfall = Shortfall(wanted, 0.0)
    watch(shortfall, 0, 200, fps=fps, sampled=min(wanted, fps), damaged=0)
    assert shortfall.reason is None


def test_trouble_ends_well_above_where_it_began_and_keeps_its_words() -> None:
    shortfall = Shortfall(2.0, 0.0)
    watch(shortfall, 0, 20, fps=25, sampled=0.2, damaged=1)
    before = shortfall.reason
    watch(shortfall, 20, 60, fps=25, sampled=0.8, damaged=0)
    assert shortfall.reason == before
    assert before is not None
    watch(shortfall, 60, 80, fps=25, sampled=1.5, damaged=0)
    assert shortfall.reason is None


def test_a_camera_is_in_no_trouble_while_only_heartbeats_are_wanted() -> None:
    shortfall = Shortfall(2.0, 0.0)
    for number in range(600):
        now = number / 10
        if number % 100 == 0:
            shortfall.sampled(now)
        shortfall.idle(now)
        shortfall.arrived(now, 0)
        assert shortfall.reason is None
    watch(shortfall, 60, 60 + SHORTEST_S + 1, fps=25, sampled=0.1, damaged=0)
    assert shortfall.reason is not None  # all samples are wanted, and do not come


def test_heartbeats_that_cannot_be_decoded_are_trouble_until_one_can() -> None:
    shortfall = Shortfall(2.0, 0.0, idle_fps=0.1)
    seen = []
    for number in range(1000):
        now = number / 10
        if number in {0, 100, 800, 900}:
            shortfall.sampled(now)
        shortfall.idle(now)
        shortfall.arrived(now, number % 100 == 0)
        seen.append(shortfall.reason)
    assert not any(seen[:400])
    assert all(seen[402:800])
    assert "no picture could be decoded for 30 s" in str(seen[500])
    assert not any(seen[800:])
