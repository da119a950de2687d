from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError, SourceRefused
from edge.system.backoff import HEALTHY_S, REFUSED, UNREACHABLE, Retry, Schedule, delays

NEVER_STREAMED = 0.0


class NoJitter(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def test_delays_double_up_to_the_cap():
    assert list(islice(delays(UNREACHABLE, NoJitter()), 7)) == [1, 2, 4, 8, 16, 30, 30]


def test_a_camera_that_said_no_is_asked_rarely():
    assert list(islice(delays(REFUSED, NoJitter()), 6)) == [30, 60, 120, 240, 300, 300]


@given(st.integers(), st.floats(0.1, 10), st.floats(10, 1000))
def test_jitter_shortens_by_a_fifth_at_most_and_never_passes_the_cap(seed, first_s, cap_s):
    drawn = list(islice(delays(Schedule(first_s, cap_s), Random(seed)), 20))
    plain = list(islice(delays(Schedule(first_s, cap_s), NoJitter()), 20))
    assert all(0.8 * full <= delay <= full for delay, full in zip(drawn, plain, strict=True))
    assert max(drawn) <= cap_s


def test_two_cameras_do_not_come_back_in_step():
    first, second = (list(islice(delays(UNREACHABLE, Random(seed)), 5)) for seed in (1, 2))
    assert first != second


def test_the_delay_starts_small_again_after_a_healthy_stream_only():
    retry, error = Retry(NoJitter()), SourceError("gone")
    assert [retry.delay_s(error, streamed_s=NEVER_STREAMED) for _ in range(3)] == [1, 2, 4]
    assert retry.delay_s(error, streamed_s=HEALTHY_S - 1) == 8  # a camera that flaps
    assert retry.delay_s(error, streamed_s=HEALTHY_S) == 1


def test_a_refusal_starts_its_own_schedule_and_its_end_the_usual_one():
    retry, refused, gone = Retry(NoJitter()), SourceRefused("401"), SourceError("gone")
    assert retry.delay_s(gone, streamed_s=NEVER_STREAMED) == 1
    assert [retry.delay_s(refused, streamed_s=NEVER_STREAMED) for _ in range(2)] == [30, 60]
    assert retry.delay_s(gone, streamed_s=NEVER_STREAMED) == 1
