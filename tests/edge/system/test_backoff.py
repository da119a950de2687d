from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError, SourceRefused
from edge.system.backoff import BROKER, CAMERA, HEALTHY_S, SHORTEST_S, Backoff, CameraRetry

NEVER_STREAMED = 0.0


class NoJitter(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def delays(backoff: Backoff, rng: Random, failures: int) -> list[float]:
    return [backoff.delay_s(failure, rng) for failure in range(1, failures + 1)]


def test_delays_double_up_to_the_cap() -> None:
    assert delays(CAMERA.unreachable, NoJitter(), 7) == [1, 2, 4, 8, 9, 9, 9]


def test_a_camera_that_said_no_is_asked_rarely() -> None:
    assert delays(CAMERA.refused, NoJitter(), 6) == [30, 60, 120, 240, 300, 300]


@given(st.integers(), st.floats(0.1, 10), st.floats(10, 1000))
def test_jitter_shortens_by_a_fifth_at_most_and_never_passes_the_cap(
    seed: int, first_s: float, cap_s: float
) -> None:
    backoff = Backoff(first_s, cap_s, CAMERA.unreachable.shortest_share)
    drawn, plain = delays(backoff, Random(seed), 20), delays(backoff, NoJitter(), 20)
    assert all(0.8 * full <= delay <= full for delay, full in zip(drawn, plain, strict=True))
    assert max(drawn) <= cap_s


def test_two_cameras_do_not_come_back_in_step() -> None:
    first, second = (delays(CAMERA.unreachable, Random(seed), 5) for seed in (1, 2))
    assert first != second


def test_the_delay_starts_small_again_after_a_healthy_stream_only() -> None:
    retry, error = CameraRetry(NoJitter()), SourceError("gone")
    assert [retry.delay_s(error, streamed_s=NEVER_STREAMED) for _ in range(3)] == [1, 2, 4]
    assert retry.delay_s(error, streamed_s=HEALTHY_S - 1) == 8  # a camera that flaps
    assert retry.delay_s(error, streamed_s=HEALTHY_S) == 1


def test_what_an_attempt_took_counts_so_that_a_silent_camera_is_not_asked_more_rarely() -> None:
    retry, error = CameraRetry(NoJitter()), SourceError("did not answer within 5 s")
    waits = [retry.delay_s(error, streamed_s=NEVER_STREAMED, tried_s=5.0) for _ in range(6)]
    assert waits == [SHORTEST_S, SHORTEST_S, SHORTEST_S, 3, 4, 4]


def test_a_refusal_starts_its_own_schedule_and_its_end_the_usual_one() -> None:
    retry, refused, gone = CameraRetry(NoJitter()), SourceRefused("401"), SourceError("gone")
    assert retry.delay_s(gone, streamed_s=NEVER_STREAMED) == 1
    assert [retry.delay_s(refused, streamed_s=NEVER_STREAMED) for _ in range(2)] == [30, 60]
    assert retry.delay_s(gone, streamed_s=NEVER_STREAMED) == 1


def test_a_broker_that_is_away_is_asked_soon_and_one_that_said_no_each_minute() -> None:
    assert delays(BROKER.unreachable, NoJitter(), 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert delays(BROKER.refused, Random(1), 3) == [60, 60, 60]
    assert all(0.25 <= BROKER.unreachable.delay_s(1, Random(seed)) <= 0.5 for seed in range(50))


def test_an_outage_of_weeks_is_no_overflow() -> None:
    assert BROKER.unreachable.delay_s(100_000, NoJitter()) == BROKER.unreachable.cap_s
