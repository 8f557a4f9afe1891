"""serving.on_demand: heat maps whose graph is loaded when the first is asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.errors import ArtifactError, NotAcceptableError
from brain_tumor.scoring import HeatMaps, HeatMapsFn
from brain_tumor.serving.on_demand import OnDemand

IMAGES = np.zeros((1, 2, 2), np.uint8)


def _heat_maps(_: NDArray[np.uint8]) -> HeatMaps:
    return HeatMaps(np.ones((1, 3), np.float32), np.ones((1, 2, 2, 3), np.float32))


def test_it_is_loaded_once_however_many_ask_first_and_called_by_one_at_a_time() -> None:
    loads: list[None] = []
    all_wait, inside = threading.Barrier(8), threading.Lock()

    def heat_maps(images: NDArray[np.uint8]) -> HeatMaps:
        assert inside.acquire(blocking=False)
        try:
            return _heat_maps(images)
        finally:
            inside.release()

    def load() -> HeatMapsFn:
        loads.append(None)
        return heat_maps

    on_demand = OnDemand(load)
    assert loads == []

    def ask(_: int) -> HeatMaps:
        all_wait.wait(30)
        return on_demand(IMAGES)

    with ThreadPoolExecutor(8) as pool:
        assert all(answer.maps.shape == (1, 2, 2, 3) for answer in pool.map(ask, range(8)))
    assert len(loads) == 1


def test_a_model_without_heat_maps_is_asked_once_and_the_reason_is_given_each_time() -> None:
    loads: list[None] = []
    on_demand = OnDemand(lambda: loads.append(None))
    for _ in range(2):
        with pytest.raises(NotAcceptableError, match=r"image/png.*earlier version.*json"):
            on_demand(IMAGES)
    assert len(loads) == 1


def test_loading_that_failed_is_tried_again() -> None:
    failures = [ArtifactError("no space in /tmp")]

    def load() -> HeatMapsFn:
        if failures:
            raise failures.pop()
        return _heat_maps

    on_demand = OnDemand(load)
    with pytest.raises(ArtifactError, match="no space"):
        on_demand(IMAGES)
    assert on_demand(IMAGES).maps.shape == (1, 2, 2, 3)


def test_it_tells_how_long_loading_or_drawing_has_been_running_also_after_one_that_failed() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load() -> HeatMapsFn:
        begun.set()
        assert go_on.wait(30)
        raise ArtifactError("no space in /tmp")

    on_demand = OnDemand(load)
    assert on_demand.running_seconds == 0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(on_demand, IMAGES)
        assert begun.wait(30)
        while on_demand.running_seconds < 0.01:
            pass
        go_on.set()
        assert isinstance(asked.exception(30), ArtifactError)
    assert on_demand.running_seconds == 0
