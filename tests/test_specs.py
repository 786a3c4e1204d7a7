"""Specs: a part and its settings as a line of text, for every member of every room."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interalia import registry, runs
from interalia.adversarial import divergences, penalties
from interalia.errors import UserError
from interalia.learning import dynamics, optimizers
from interalia.runs import building

# the rooms whose members a line of text makes; those of the others are named alone
SPECIFIED = [
    room for room in registry.KINDS if room not in ("data", "metrics", "likelihoods", "experiments", "recipes")
]
MEMBERS = [(room, name) for room in SPECIFIED for name in registry.registry(room)]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r1", ("r1", {})),
        ("  r1 ", ("r1", {})),
        ("r1()", ("r1", {})),
        ("reverse-kl(saturating=True)", ("reverse-kl", {"saturating": True})),
        ("r1 ( gamma = 0.5 , every = 4 )", ("r1", {"gamma": 0.5, "every": 4})),
        ("adam(lr=1e-4,)", ("adam", {"lr": 1e-4})),
        ("alternating(turns={'critic': 5})", ("alternating", {"turns": {"critic": 5}})),
        ("f(a=(1, 2), b=[], c='x)', d=-1)", ("f", {"a": (1, 2), "b": [], "c": "x)", "d": -1})),
    ],
)
def test_what_can_be_read(text: str, expected: tuple[str, dict[str, object]]) -> None:
    assert registry.parse(text) == expected


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(["gamma", "every", "lr", "turns"]), plain))
def test_what_is_written_is_read_back(values: dict[str, object]) -> None:
    text = f"part({', '.join(f'{key}={value!r}' for key, value in values.items())})"
    assert registry.parse(text) == ("part", values)


@pytest.mark.parametrize(
    "text",
    [
        "r1(gamma=)",
        "r1(gamma)",
        "r1(gamma=1) + 2",
        "r1(gamma=1)(every=2)",
        "r1(**{'gamma': 1})",
        "r1(gamma=open('x'))",
        "r1(gamma=__import__('os').getcwd())",
        "r1(gamma=1, gamma=2)",
        "r1(gamma={[]: 1})",
        "r1(gamma='\0')",
    ],
)
def test_what_cannot_be_read_is_explained_and_nothing_is_run(text: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.parse(text, "penalty")
    assert str(caught.value) == (
        f"the penalty {text!r} cannot be read; write a name, or a name with settings in brackets, "
        "such as r1(setting=1.0)."
    )


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("r1(", "close the bracket: r1()"),
        ("r1(gamma=1", "close the bracket: r1(gamma=1)"),
        ("kl(saturating=yes)", "write kl(saturating=True)"),
        ("kl(saturating=no, smoothing=none)", "write kl(saturating=False, smoothing=None)"),
    ],
)
def test_the_spelling_that_can_be_read_is_said(text: str, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.parse(text, "part")
    assert str(caught.value) == f"the part {text!r} cannot be read; {advice}."


@pytest.mark.parametrize(("room", "name"), MEMBERS, ids=[f"{room}-{name}" for room, name in MEMBERS])
def test_every_member_takes_the_settings_that_it_lists(room: str, name: str) -> None:
    catalogue = registry.registry(room)
    listed = registry.settings_text(catalogue[name])
    member, found = registry.look_up(f"{name}({listed})", catalogue, room)
    assert member is catalogue[name]
    assert ", ".join(f"{key}={value!r}" for key, value in found.items()) == listed
    assert registry.summary(member), f"{room}: {name} has no description"


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        registry.look_up("simultanous", dynamics.REGISTRY, "dynamics")
    assert str(caught.value) == (
        "there is no dynamics 'simultanous'; did you mean 'simultaneous'? There are: alternating, auto, consensus, "
        "extragradient, one-stage, optimistic, past, simultaneous."
    )
    with pytest.raises(
        UserError, match=r"^there is no penalty 'zzz'; there are: dragan, r1, r1r2, r2, weight-clip, wgan-gp\.$"
    ):
        registry.look_up("zzz(a=1)", penalties.REGISTRY, "penalty")


def test_an_unknown_setting_is_told_the_known_ones() -> None:
    with pytest.raises(UserError) as caught:
        registry.look_up("r1(gama=1)", penalties.REGISTRY, "penalty")
    assert (
        str(caught.value)
        == "the penalty 'r1' has no setting 'gama'; did you mean 'gamma'? Its settings are: gamma, every, final."
    )
    with pytest.raises(UserError, match=r"'hinge' has no setting 'margin'; its settings are: smoothing\.$"):
        registry.look_up("hinge(margin=2)", divergences.REGISTRY, "divergence")
    with pytest.raises(UserError, match=r"'simultaneous' has no setting 'fresh'; its settings are: none\.$"):
        registry.look_up("simultaneous(fresh=True)", dynamics.REGISTRY, "dynamics")


def test_settings_may_be_given_by_their_place() -> None:
    assert registry.parse("r1(0.5, every=2)") == ("r1", {"0": 0.5, "every": 2})
    assert registry.look_up("r1(0.5, every=2)", penalties.REGISTRY, "penalty")[1] == {"gamma": 0.5, "every": 2}
    with pytest.raises(UserError, match=r"the penalty 'r1\(0.5, gamma=1\)' sets one setting twice"):
        registry.look_up("r1(0.5, gamma=1)", penalties.REGISTRY, "penalty")
    with pytest.raises(
        UserError, match=r"^the penalty 'r1\(1, 2, 3, 4\)' has more settings than r1: gamma, every, final\.$"
    ):
        registry.look_up("r1(1, 2, 3, 4)", penalties.REGISTRY, "penalty")


def test_what_the_program_gives_is_no_setting() -> None:
    with pytest.raises(UserError, match="'sgd' has no setting 'parameters'"):
        registry.look_up("sgd(parameters=[])", optimizers.OPTIMIZERS, "optimizer")
    with pytest.raises(UserError, match="'alternating' has no setting 'precision'"):
        registry.look_up("alternating(precision=1)", dynamics.REGISTRY, "dynamics")


@pytest.mark.parametrize("part", ["penalty", "noise"])
def test_a_games_parts_are_fields_of_the_run_and_no_settings_of_the_game(part: str) -> None:
    with pytest.raises(UserError, match=f"'ali' has no setting '{part}'"):
        building.build(runs.Run(game=f"ali({part}=None)", latent_dim=2), (2,))


def test_making_a_part() -> None:
    assert registry.make("least-squares(c=0.5)", divergences.REGISTRY, "divergence") == divergences.LeastSquares(c=0.5)
    penalty = registry.make("r1(gamma=3, every=2)", penalties.REGISTRY, "penalty")
    assert isinstance(penalty, penalties.R1)
    assert (penalty.gamma, penalty.every) == (3, 2)
    assert math.isclose(registry.make("linear(start=0.0)", optimizers.SCHEDULES, "schedule")(0.25), 0.75)


@pytest.mark.parametrize("text", ["r1(every=0)"])
def test_what_cannot_be_made_is_explained(text: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.make(text, penalties.REGISTRY, "penalty")
    assert str(caught.value).startswith(f"the penalty {text!r} cannot be made: ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("field", "text"), [("penalty", "r1(gamma='much')"), ("penalty", "r1(every=1.5)"), ("game", "alice(cycle='x')")]
)
def test_a_setting_of_the_wrong_kind_is_refused_before_the_training(field: str, text: str) -> None:
    with pytest.raises(UserError):
        building.build(runs.Run(latent_dim=2).replace(**{field: text}), (2,))
