"""Successive halving: exact rounds on synthetic scores, costs, and invariants of any search."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.evaluation.halving import Halving

NAMES = tuple("abcdefgh")
FIXED = dict(zip(NAMES, [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], strict=True))


def fixed_scores(values):
    """Return a function with scores that do not depend on the images, and the list of its calls."""
    calls = []

    def scores(names, images):
        calls.append((names, images))
        return {name: values[name] for name in names if name in values}

    return scores, calls


def test_rounds_follow_the_schedule():
    scores, calls = fixed_scores(FIXED)
    search = Halving(first=10, top=2, stable=9)(NAMES, 100, scores)
    assert calls == [(NAMES, 10), (NAMES[:4], 20)]
    assert [r.forward_passes for r in search.rounds] == [80, 40]
    assert (search.forward_passes, search.cost, search.stop_reason) == (120, 120.0, "top alone")
    assert search.rounds[0].eliminated == {"e": 1, "f": 2, "g": 3, "h": 4}
    assert search.rounds[1].eliminated == {"c": 1, "d": 2}
    assert search.ranking == list(NAMES)
    assert list(search.rounds[1].scores) == list("abcd")


def test_a_retained_candidate_can_improve_in_a_later_round():
    def scores(names, images):
        return {name: FIXED[name] + (10 if name == "d" and images >= 20 else 0) for name in names}

    search = Halving(first=10, top=1, stable=9)(NAMES, 100, scores)
    assert search.ranking == list("dabcefgh")
    assert [r.images for r in search.rounds] == [10, 20, 40]


def test_the_search_stops_with_all_images_or_a_stable_top():
    scores, _ = fixed_scores(FIXED)
    search = Halving(first=10, top=1, keep=0.9, stable=99)(NAMES, 50, scores)
    assert [r.images for r in search.rounds] == [10, 20, 40, 50]
    assert search.stop_reason == "all images"
    search = Halving(first=10, top=1, keep=0.9, stable=2)(NAMES, 50, scores)
    assert ([r.images for r in search.rounds], search.stop_reason) == ([10, 20], "top stable")


def test_a_stable_top_may_change_its_order_but_not_its_members():
    def swapping(names, images):
        return {name: FIXED[name] + (1.5 if name == "b" and images == 20 else 0) for name in names}

    assert len(Halving(first=10, top=2, keep=0.9, stable=2)(NAMES, 80, swapping).rounds) == 2
    assert [r.images for r in Halving(first=10, top=1, keep=0.9, stable=2)(NAMES, 80, swapping).rounds] == [
        10,
        20,
        40,
        80,
    ]


def test_a_budget_cuts_the_last_round_short():
    scores, calls = fixed_scores(FIXED)
    search = Halving(first=10, top=2, stable=9, budget=100.0)(NAMES, 100, scores)
    assert [images for _, images in calls] == [10, 15]
    assert (search.cost, search.stop_reason) == (100, "top alone")
    search = Halving(first=10, top=1, stable=9, budget=101.0)(NAMES, 100, scores)
    assert (search.cost, search.stop_reason) == (100, "budget")
    search = Halving(first=10, top=1, stable=9, budget=103.0)(NAMES, 100, scores)
    assert (search.cost, len(search.rounds)) == (100, 2)  # the remaining budget pays less than a round
    search = Halving(first=10, top=1, stable=9, budget=83.0)(NAMES, 100, scores)
    assert (search.cost, search.stop_reason, len(search.rounds)) == (80, "budget", 1)
    with pytest.raises(InputError, match="budget=79 is below the first round, 80: raise it, or lower first"):
        Halving(first=10, budget=79.0)(NAMES, 100, scores)


def test_a_round_without_time_ends_the_search_with_the_rounds_before():
    scores = fixed_scores(FIXED)[0]
    search = Halving(first=10, top=1, stable=9)(NAMES, 100, lambda names, n: scores(names, n) if n < 40 else None)
    assert ([r.images for r in search.rounds], search.stop_reason) == ([10, 20], "budget")
    with pytest.raises(InputError, match="none of 8 candidates has a score on 10 images"):
        Halving(first=10)(NAMES, 100, lambda names, n: None)


def test_costs_differ_between_candidates():
    scores, _ = fixed_scores(FIXED)
    cost = dict(zip(NAMES, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], strict=True))
    search = Halving(first=10, top=2, stable=9)(NAMES, 100, scores, cost=cost)
    assert [r.cost for r in search.rounds] == [1275, 75]
    assert search.forward_passes == 120
    cut = Halving(first=10, top=2, stable=9, budget=1300.0)(NAMES, 100, scores, cost=cost)
    assert [r.images for r in cut.rounds] == [10, 13]
    with pytest.raises(InputError, match=r"an image costs 0\.0 with c"):
        Halving(first=10)(NAMES, 100, scores, cost={**cost, "c": 0.0})
    with pytest.raises(InputError, match="an image costs None with h"):
        Halving(first=10)(NAMES, 100, scores, cost=dict.fromkeys(NAMES[:-1], 1.0))


def test_ties_with_the_last_retained_candidate_are_retained_in_input_order():
    scores, calls = fixed_scores(dict.fromkeys(NAMES, 1.0))
    search = Halving(first=10, top=2, stable=9)(NAMES, 40, scores)
    assert [names for names, _ in calls] == [NAMES] * 3
    assert (search.ranking, search.stop_reason) == (list(NAMES), "all images")


@pytest.mark.parametrize("top", [8, 9, 100])
def test_a_top_as_large_as_the_pool_takes_one_round(top):
    scores, _ = fixed_scores(FIXED)
    search = Halving(first=10, top=top)(NAMES, 100, scores)
    assert (len(search.rounds), search.forward_passes, search.stop_reason) == (1, 80, "top alone")
    assert search.ranking == list(NAMES)
    assert search.rounds[0].eliminated == {}


def test_a_first_round_larger_than_the_data_uses_all_images():
    scores, calls = fixed_scores(FIXED)
    assert Halving(first=500)(NAMES, 100, scores).stop_reason == "all images"
    assert calls == [(NAMES, 100)]


def test_failed_candidates_are_listed_counted_and_eliminated():
    def scores(names, images):
        bad = {"a": np.nan, "b": np.inf if images > 10 else 7.0}
        return {name: bad.get(name, FIXED[name]) for name in names if name != "h"}

    search = Halving(first=10, top=2, stable=9)(NAMES, 100, scores)
    assert [r.failed for r in search.rounds] == [("a", "h"), ("b",)]
    assert [r.forward_passes for r in search.rounds] == [80, 30]
    assert search.ranking == list("cdefg")
    with pytest.raises(InputError, match="none of 8 candidates has a score on 10 images"):
        Halving(first=10)(NAMES, 100, fixed_scores({})[0])


def test_the_weight_of_the_prior_falls_with_the_images():
    scores, calls = fixed_scores(FIXED)
    best_last = {name: -value for name, value in FIXED.items()}
    Halving(first=10, top=1, stable=9, prior_images=1000.0)(NAMES, 100, scores, best_last)
    assert calls[1][0] == NAMES[4:]
    calls.clear()
    search = Halving(first=10, top=1, stable=9, prior_images=9.0)(NAMES, 100, scores, best_last)
    assert calls[1][0] == NAMES[:4]
    assert search.ranking == list(NAMES)
    calls.clear()
    Halving(first=10, top=1, stable=9, prior_images=1000.0)(NAMES, 100, scores)  # no prior, no weight
    assert calls[1][0] == NAMES[:4]
    # 15 images against 10: the prior wins the first round and loses the second.
    calls.clear()
    late = Halving(first=10, top=1, stable=9, prior_images=15.0)(NAMES, 100, scores, best_last)
    assert [names for names, _ in calls] == [NAMES, NAMES[4:], NAMES[4:6]]
    assert late.rounds[0].eliminated == {"a": -7, "b": -6, "c": -5, "d": -4}
    assert late.ranking == list("efghabcd")


def test_a_candidate_without_a_prior_ranks_in_the_middle():
    scores, calls = fixed_scores(dict.fromkeys(NAMES, 1.0))
    prior = {"a": 0.9, "b": 0.1}
    Halving(first=10, top=1, keep=0.1, stable=9, prior_images=5.0)(NAMES, 100, scores, prior)
    assert calls[1][0] == ("a",) if len(calls) > 1 else True
    search = Halving(first=10, top=7, keep=0.1, stable=9, prior_images=5.0)(NAMES, 100, scores, prior)
    assert list(search.rounds[0].eliminated) == ["b"]
    with pytest.raises(InputError, match="the prior of b is nan: leave it out"):
        Halving(first=10)(NAMES, 100, scores, {"b": np.nan})


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": 0},
        {"top": 0},
        {"growth": 1.0},
        {"keep": 0.0},
        {"keep": 1.0},
        {"stable": 1},
        {"prior_images": -1.0},
        {"prior_images": np.inf},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="first, top and the images are at least 1"):
        replace(Halving(first=10), **wrong)(NAMES, 100, fixed_scores(FIXED)[0])


def test_empty_or_repeated_candidates_are_refused():
    for candidates in ((), ("a", "a")):
        with pytest.raises(InputError, match="give each once"):
            Halving(first=10)(candidates, 100, fixed_scores(FIXED)[0])
    with pytest.raises(InputError, match="over 0 images"):
        Halving(first=10)(NAMES, 0, fixed_scores(FIXED)[0])
    with pytest.raises(InputError, match="budget=nan"):
        Halving(first=10, budget=np.nan)(NAMES, 100, fixed_scores(FIXED)[0])


SETTINGS = st.builds(
    Halving,
    first=st.integers(1, 40),
    top=st.integers(1, 6),
    growth=st.floats(1.01, 5),
    keep=st.floats(0.05, 0.95),
    stable=st.integers(2, 5),
    prior_images=st.floats(0, 100),
    budget=st.none() | st.integers(0, 2000).map(float),
)
VALUES = st.lists(st.integers(-3, 9), min_size=1, max_size=25)


@settings(max_examples=60)
@given(SETTINGS, VALUES, st.integers(1, 150), st.integers(0, 99))
def test_invariants_of_any_search(halving, values, images, seed):
    names = [str(i) for i in range(len(values))]
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(values), images)).round(1).cumsum(axis=1)
    prior = dict(zip(names, rng.normal(size=len(values)), strict=True))
    counts = dict.fromkeys(names, 0)
    if halving.budget is not None and halving.budget < min(halving.first, images) * len(names):
        halving = replace(halving, budget=float(min(halving.first, images) * len(names)))

    def scores(left, n):
        assert len(left) > halving.top or n == min(halving.first, images)
        for name in left:
            assert n > counts[name]
            counts[name] = n
        noisy = {name: values[int(name)] + noise[int(name), n - 1] / n for name in left}
        return {name: score for name, score in noisy.items() if rng.random() > 0.02 or score == max(noisy.values())}

    search = halving(names, images, scores, prior)
    assert search.forward_passes == search.cost == sum(counts.values())
    assert halving.budget is None or search.cost <= halving.budget
    sizes = [round_.images for round_ in search.rounds]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= images
    for round_, following in zip(search.rounds, search.rounds[1:], strict=False):
        assert set(following.scores) | set(following.failed) == set(round_.scores) - set(round_.eliminated)
        assert len(set(round_.scores) - set(round_.eliminated)) >= min(halving.top, len(round_.scores))
    failed = {name for round_ in search.rounds for name in round_.failed}
    assert sorted([*search.ranking, *failed]) == sorted(names)
    last = list(search.rounds[-1].scores)
    assert search.ranking[: len(last)] == last


@settings(max_examples=50)
@given(VALUES, st.integers(1, 5))
def test_constant_scores_are_ranked_as_on_all_images(values, top):
    names = [str(i) for i in range(len(values))]
    fixed = dict(zip(names, map(float, values), strict=True))
    search = Halving(first=5, top=top)(names, 80, lambda left, n: {name: fixed[name] for name in left})
    assert [fixed[name] for name in search.ranking] == sorted(fixed.values(), reverse=True)
