"""data.neighbours: pairs of scans that resemble each other in any pose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.data import neighbours
from brain_tumor.data.neighbours import POSES, Pairs, compare, find_pairs, turn
from brain_tumor.data.thumbnails import Thumbnails
from tests.scans import head, thumbnails_of

LIMIT = 0.1


@pytest.fixture(scope="module")
def some() -> Thumbnails:
    """Give 240 scans: heads, each with a neighbour, every other one turned, and one of nothing."""
    pictures = [turn(head(n // 2, 20.0 * (n % 2)), n % 8) for n in range(239)]
    return thumbnails_of([*pictures, np.zeros((60, 60), np.uint8)])


def _by_brute_force(thumbnails: Thumbnails) -> dict[tuple[int, int], float]:
    """Correlate all with all in all poses, by definition."""
    nearest: dict[tuple[int, int], float] = {}
    for pictures in (thumbnails.whole, thumbnails.head):
        shown = [row for row, picture in enumerate(pictures[:]) if picture.any()]
        upright = pictures[shown].reshape(len(shown), -1)
        for number in range(8):
            turned = np.array([_turned(pictures[row], number).ravel() for row in shown])
            ncc = np.corrcoef(upright, turned)[: len(shown), len(shown) :]
            for i, j in zip(*np.nonzero(1 - ncc <= LIMIT), strict=True):
                pair = shown[i], shown[j]
                if pair[0] < pair[1]:
                    nearest[pair] = min(nearest.get(pair, 2), 1 - ncc[i, j])
    return nearest


def _turned(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    return {
        "identity": picture,
        "mirror": np.fliplr(picture),
        "flip": np.flipud(picture),
        "rot180": np.rot90(picture, 2),
        "transpose": picture.T,
        "rot90": np.rot90(picture),
        "rot270": np.rot90(picture, 3),
        "transverse": np.rot90(picture, 2).T,
    }[POSES[number]]


def _distances(pairs: Pairs) -> dict[tuple[int, int], float]:
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return dict(zip(rows, pairs.distance.tolist(), strict=True))


def test_the_pairs_are_those_of_brute_force(some: Thumbnails) -> None:
    found, wanted = _distances(find_pairs(some, LIMIT)), _by_brute_force(some)
    assert len(wanted) >= 119
    # Sums of 3,136 products in float32 against the same in float64.
    assert found == pytest.approx(wanted, abs=5e-5)


def test_landmarks_find_all_copies_of_a_set_too_large_to_compare_all_with_all(
    some: Thumbnails, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {pair for pair, there in _distances(find_pairs(some, LIMIT)).items() if there < 0.07}
    monkeypatch.setattr(neighbours, "COMPARED_ALL_WITH_ALL", 10)
    assert wanted <= set(_distances(find_pairs(some, LIMIT)))
    assert len(wanted) > 100


@pytest.mark.parametrize("number", range(8), ids=POSES)
def test_each_pose_has_the_name_of_what_turns_the_second_into_the_first(number: int) -> None:
    picture = head(5)
    np.testing.assert_array_equal(turn(picture, number), _turned(picture, number))
    two = thumbnails_of([_turned(picture, number), picture])
    for pairs in (find_pairs(two, 0.01), compare(two, np.array([0]), np.array([1]))):
        assert pairs.pose.tolist() == [number]
        assert pairs.distance[0] < 0.001


def test_pairs_come_once_and_the_nearest_first(some: Thumbnails) -> None:
    pairs = find_pairs(some, LIMIT)
    assert (np.diff(pairs.distance) >= 0).all()
    assert (pairs.first < pairs.second).all()
    assert len(_distances(pairs)) == len(pairs)
    assert 239 not in pairs.second
