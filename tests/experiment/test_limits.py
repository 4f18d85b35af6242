"""Limits on the cost of models: what is left out before any image is pushed, and what the result says about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from transfer_exp.errors import InputError
from transfer_exp.experiment.limits import Limits
from transfer_exp.features.cost import ModelCost
from transfer_exp.features.extraction import Extractor
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.progress import silent
from transfer_exp.results.search import SearchedModel, SearchResult, format_count

NAMES = ("resnet_glyphs", "efficientnet_glyphs", "nfnet_fractals")


@pytest.fixture
def extractor(store):
    return Extractor(store, device="cpu", batch_size=8, workers=0, track=silent)


@pytest.fixture
def pool():
    return builtin(NAMES)


@pytest.mark.parametrize(
    ("limits", "names", "reason"),
    [
        (Limits(), NAMES, None),
        (Limits(parameters=250_000), NAMES[1:], "resnet_glyphs (378 k parameters)"),
        (Limits(memory=3.5e6), NAMES[:2], "nfnet_fractals (3.9 MB of memory)"),
        (Limits(licence=("mit", "apache-2.0")), NAMES, None),
    ],
)
def test_models_beyond_a_limit_are_left_out_with_the_reason(pool, extractor, limits, names, reason):
    within, remarks = limits.apply(pool, extractor)
    assert tuple(candidate.name for candidate in within.candidates) == names
    assert remarks == (() if reason is None else (f"left out by the limits: {reason}",))


def test_speeds_are_those_of_earlier_searches(pool, extractor):
    speeds = {"resnet_glyphs": 100.0, "nfnet_fractals": 20.0}
    for candidate in pool.select(tuple(speeds)).candidates:
        replace(extractor, speeds=speeds).cost(candidate.name, candidate.load())
    within, remarks = Limits(images_per_second=50).apply(pool, extractor)
    assert tuple(candidate.name for candidate in within.candidates) == NAMES[:2]
    assert remarks == (
        "left out by the limits: nfnet_fractals (20 images per second)",
        "not left out, because their speed was not measured before: efficientnet_glyphs",
    )


@dataclass
class FakeExtractor:
    """Extractor of the costs in ``costs`` by name, with a batch of 4 images; None is an unknown cost."""

    costs: dict[str, ModelCost | None]
    batch_size: int = 4

    def cost(self, name, model):
        return self.costs[name]


def apply_to(limits, **models):
    """Return the names within the limits of models given as (parameters, licence, bytes of memory, images/s)."""
    candidates, costs = [], {}
    for name, (parameters, licence, memory, speed) in models.items():
        facts = {"count_parameters": lambda n=parameters: n, "licence": lambda text=licence: text}
        candidates.append(Candidate(name, load=lambda: None, **facts))
        costs[name] = memory and ModelCost(0, 0, memory - 4 * 10, 10, 0, images_per_second=speed)
    within, remarks = limits.apply(ModelPool("fake", tuple(candidates)), FakeExtractor(costs))
    return [candidate.name for candidate in within.candidates], remarks


EQUAL, WITHIN, BEYOND = (100, "mit", 1000, 50.0), (99, "mit", 999, 51.0), (101, "gpl", 1001, 49.0)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(parameters=100), "101 parameters"),
        (Limits(memory=1000), "1.001 kB of memory"),
        (Limits(images_per_second=50), "49 images per second"),
        (Limits(licence=("MIT",)), "licence gpl"),
    ],
)
def test_a_model_that_equals_a_limit_stays(limits, reason):
    names, remarks = apply_to(limits, equal=EQUAL, within=WITHIN, beyond=BEYOND)
    assert names == ["equal", "within"]
    assert remarks == (f"left out by the limits: beyond ({reason})",)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(parameters=2_500_000), "2.5004 M parameters"),
        (Limits(memory=2e9), "2.05 GB of memory"),
        (Limits(images_per_second=50), "49.6 images per second"),
    ],
)
def test_the_number_of_a_model_just_beyond_a_limit_differs_from_it(limits, reason):
    remarks = apply_to(limits, within=(1, "mit", 1, 99.0), beyond=(2_500_400, "mit", 2_050_000_000, 49.6))[1]
    assert remarks == (f"left out by the limits: beyond ({reason})",)


def test_an_unknown_licence_is_left_out_and_an_unknown_number_stays():
    limits = Limits(parameters=100, memory=1000, images_per_second=50, licence=("mit",))
    unknown = {"licence": (1, None, 1, 99.0), "empty": (1, "", 1, 99.0)}
    names, remarks = apply_to(limits, size=(None, "mit", 1, 99.0), cost=(1, "mit", None, None), **unknown)
    assert names == ["size", "cost"]
    assert remarks == ("left out by the limits: licence (licence unknown), empty (licence unknown)",)


def test_a_model_must_be_within_all_limits():
    models = {
        "good": (100, "mit", 1000, 50.0),
        "gpl": (100, "gpl", 1000, 50.0),
        "large": (101, "mit", 1000, 50.0),
        "hungry": (100, "mit", 1001, None),
        "slow": (100, "mit", 1000, 49.0),
        "unmeasured": (100, "mit", 1000, None),
    }
    limits = Limits(parameters=100, memory=1000, images_per_second=50, licence=("mit", "apache-2.0"))
    names, remarks = apply_to(limits, **models)
    assert names == ["good", "unmeasured"]
    assert remarks == (
        "left out by the limits: gpl (licence gpl), large (101 parameters), hungry (1.001 kB of memory), slow (49 "
        "images per second)",
        "not left out, because their speed was not measured before: unmeasured",
    )


@pytest.mark.parametrize("limits", [Limits(parameters=10), Limits(licence=("mit",))])
def test_limits_that_leave_no_model_are_an_error(pool, extractor, limits):
    with pytest.raises(InputError, match=r"no model of builtin is within the limits, such as resnet_glyphs .*: change"):
        limits.apply(pool, extractor)


def test_the_front_holds_what_no_other_finalist_beats_in_accuracy_and_cost():
    def model(name, accuracy, cost, status="finalist"):
        return SearchedModel(name, expected_accuracy=accuracy, multiply_adds=cost, status=status)

    models = (
        model("best", 0.9, 500),
        model("slow", 0.8, 900),
        model("good", 0.8, 300),
        model("same", 0.8, 400),
        model("cheap", 0.5, 10),
        model("worse", 0.4, 10),
        model("dropped", 0.3, 1, "dropped"),
        model("unknown", 0.95, None),
    )
    assert SearchResult({}, models, "all images", 10, 2, 10, 1.0).front == ("cheap", "good", "best")


@pytest.mark.parametrize(
    ("count", "text"),
    [(12, "12 "), (999.6, "1.0 k"), (208_594, "209 k"), (2_512_384, "2.5 M"), (22_830_336, "23 M"), (4e9, "4.0 G")],
)
def test_counts_are_short(count, text):
    assert format_count(count) == text
