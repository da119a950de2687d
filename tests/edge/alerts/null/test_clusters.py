"""Clusters are the alerts of the event machine at the base level."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from edge.alerts.events import EventMachine, Rule
from edge.alerts.null.clusters import Clusters
from edge.video.sample import Arrival

APART_S = 0.5
BASE = 1.0


@pytest.mark.parametrize(
    "rule",
    [
        Rule(9.0, hysteresis=0.3, on_for=2, on_of=3, off_after_s=1.0),
        Rule(9.0, hysteresis=0.3, on_for=3, on_of=6, off_after_s=2.0),
        Rule(9.0, hysteresis=0.0, on_for=1, on_of=1, off_after_s=0.0),
    ],
)
@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_a_cluster_is_an_alert_at_the_base_level(rule: Rule, memory: float) -> None:
    noise = np.random.default_rng(1).normal(size=20_000)
    values = signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise)
    clusters = Clusters(rule)
    clusters.cut_at(BASE, APART_S)
    machine = EventMachine(
        replace(rule, threshold=BASE, hysteresis=clusters.hysteresis(BASE)), lambda _at: ""
    )
    found, alerts = [], []
    for place, value in enumerate(values.tolist()):
        at = place * APART_S
        ended = clusters.step(value, clusters.push(value), at, np.inf)
        found += [(place, ended.peak)] if ended is not None else []
        changes = machine.step(value, 0.0, Arrival(at, at, None))
        alerts += [place for change in changes if change.type == "end"]
    assert [place for place, _ in found] == alerts
    assert len(found) > 100
    # A peak is a level that k of n values reach, so never more than the highest of them.
    assert all(BASE <= peak <= values.max() for _, peak in found)
