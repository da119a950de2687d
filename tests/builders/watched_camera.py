"""Takes samples of a camera that runs."""

from patience import Until

from edge.video.sample import Sample
from edge.video.worker import CameraWorker


def take_next(worker: CameraWorker, until: Until) -> Sample:
    taken: list[Sample] = []

    def look() -> bool:
        sample = worker.take()
        if sample is not None:
            taken.append(sample)
        return bool(taken)

    until("a sample", look)
    return taken[0]
