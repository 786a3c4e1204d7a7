"""What every game is said to be, what it begins with and what it refuses; and what they all have from `Game`."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interalia.adversarial import divergences
from interalia.adversarial.penalties import Penalty
from interalia.conditionals import (
    BasisNoise,
    Chain,
    Codes,
    Conditional,
    Deterministic,
    Gaussian,
    Implicit,
    Learned,
    Prior,
    StandardNormal,
    Uniform,
)
from interalia.errors import UserError
from interalia.games import (
    AAE,
    ALI,
    ALICE,
    AVB,
    GAN,
    HALI,
    REGISTRY,
    VAE,
    VAEGAN,
    AdversarialALICE,
    CycleGAN,
    Game,
    InfoGAN,
    JointLatentRegressor,
    LatentRegressor,
    Outcome,
    PostHocALI,
    SemiAAE,
    SemiALI,
    semiali,
)  # fmt: skip
from interalia.games.capabilities import (
    Classifies,
    Generates,
    HasCodes,
    HasLevels,
    HasLikelihood,
    Infers,
    Translates,
    require,
)
from interalia.games.cyclegan import distance
from interalia.games.feeds import Data, Domains, Labeled, PartlyLabeled
from interalia.games.needs import Pretrained, critics, example_needs
from interalia.games.vae import Variational
from interalia.networks.layers import PackedCritic, PairCritic, Recognizer
from interalia.runs.formats import with_new_values
from interalia.spaces import DataSpec


def rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class By(nn.Module):
    """A network that is a formula."""

    def __init__(self, formula: Any) -> None:
        super().__init__()
        self.formula = formula
        self.place = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, *c: Tensor) -> Tensor:
        answer: Tensor = self.formula(*c)
        return answer


# --- what they are ----------------------------------------------------------------------------------------------------

WHOLE = {"generator": ["encoder", "decoder"], "critic": ["critic"]}
AUTO = {"autoencoder": ["encoder", "decoder"], "critic": ["critic"]}
BOUND = {"autoencoder": ["encoder", "decoder", "prior"]}
# the class, its players, what it feeds on, what its critics see, what of them is not plain, and what it can do
FACTS: dict[str, tuple[type[Game], dict[str, list[str]], type[Data], list[str], str, str]] = {
    "ali": (ALI, WHOLE, Labeled, ["xz"], "packs", "infers generates"),
    "alice": (ALICE, WHOLE, Labeled, ["xz"], "packs", "infers generates"),
    "alice-adversarial": (
        AdversarialALICE,
        {"generator": ["encoder", "decoder"], "critic": ["critic", "cycle_critic"]},
        Data,
        ["xz", "xx"],
        "packs",
        "infers generates",
    ),
    "hali": (HALI, WHOLE, Data, ["xuz"], "packs", "infers generates levels"),
    "semi-ali": (SemiALI, WHOLE, PartlyLabeled, ["xz"], "", "infers generates classifies"),
    "posthoc-ali": (
        PostHocALI,
        {"encoder": ["encoder"], "critic": ["critic"]},
        Data,
        ["xz"],
        "packs fixed",
        "infers generates",
    ),
    "latent-regressor": (LatentRegressor, {"regressor": ["encoder"]}, Data, [], "fixed", "infers generates"),
    "joint-latent-regressor": (
        JointLatentRegressor,
        {"generator": ["decoder"], "critic": ["critic"], "regressor": ["encoder"]},
        Data,
        ["x"],
        "packs",
        "infers generates",
    ),
    "aae": (AAE, AUTO, Data, ["z"], "packs", "infers generates"),
    "semi-aae": (SemiAAE, AUTO, PartlyLabeled, ["z"], "packs", "infers generates classifies"),
    "vae": (VAE, BOUND, Data, [], "", "infers generates likely"),
    "avb": (AVB, {**BOUND, "critic": ["critic"]}, Data, ["xz"], "ratio", "infers generates likely"),
    "vae-gan": (
        VAEGAN,
        {"encoder": ["encoder"], "decoder": ["decoder"], "critic": ["critic"]},
        Data,
        ["x"],
        "",
        "infers generates",
    ),
    "gan": (GAN, {"generator": ["decoder"], "critic": ["critic"]}, Labeled, ["x"], "packs", "generates"),
    "infogan": (InfoGAN, {"generator": ["decoder"], "critic": ["critic"]}, Data, ["x"], "", "generates codes"),
    "cyclegan": (
        CycleGAN,
        {"generator": ["to_b", "to_a"], "critic": ["critic_a", "critic_b"]},
        Domains,
        ["x", "x"],
        "",
        "translates",
    ),
}
CAN = {
    "infers": Infers,
    "generates": Generates,
    "levels": HasLevels,
    "translates": Translates,
    "classifies": Classifies,
    "codes": HasCodes,
    "likely": HasLikelihood,
}
PLAIN: dict[str, Any] = {"data": DataSpec(), "penalty": None, "noise": None, "joint_batch": True}


def test_what_each_game_is_said_to_be() -> None:
    assert set(REGISTRY) >= set(FACTS)
    for name, (kind, players, feeds, sees, special, can) in FACTS.items():
        assert REGISTRY[name] is kind
        assert kind.players == players
        assert list(kind.players) == list(players)
        assert kind.feeds is feeds
        judges = critics(kind)
        assert ["".join(space.name for space in critic.inputs) for critic in judges] == sees, name
        assert all(critic.packable is ("packs" in special) for critic in judges), name
        assert all(critic.adversarial is ("ratio" not in special) for critic in judges), name
        assert isinstance(example_needs(kind).get("decoder"), Pretrained) is ("fixed" in special), name
        game = make(name).train()
        for capability, protocol in CAN.items():
            assert issubclass(kind, protocol) is (capability in can.split()), (name, capability)  # type: ignore[misc]
            assert isinstance(game, protocol) is (capability in can.split()), (name, capability)
        assert {key: getattr(game, key) for key in PLAIN} == PLAIN
        assert ("decoder" in game.pretrained) is ("fixed" in special)
        assert game.pack == 1


def test_what_a_game_is_unless_it_says_otherwise() -> None:
    assert {key: getattr(Game, key) for key in PLAIN} == PLAIN
    own = type("Own", (Game,), {"players": {}, "sample": lambda self, *batch: {}, "losses": lambda self, joints: None})
    game = own().train()
    assert {key: getattr(game, key) for key in PLAIN} == PLAIN
    assert own.feeds is Data
    assert example_needs(own) == {}
    assert not any(isinstance(game, protocol) or issubclass(own, protocol) for protocol in CAN.values())  # type: ignore[misc]
    assert (game.pack, game.extra_state(), list(game.players), game.pretrained) == (1, {}, [], [])
    game.set_progress(0, 1)


ADVERSARIAL: dict[str, Any] = {"divergence": divergences.GAN(), "penalty": None, "noise": None, "joint_batch": True}
CONDITIONAL: dict[str, Any] = {**ADVERSARIAL, "mismatch": 0.0}
INFERRING: dict[str, Any] = {**CONDITIONAL, "sleep": 0.0}
BEGIN: dict[str, dict[str, Any]] = {
    "ali": INFERRING,
    "alice": {**INFERRING, "cycle": 1.0, "cycle_z": 0.0, "distance": "mse"},
    "alice-adversarial": {**INFERRING, "weight": 1.0},
    "hali": {**INFERRING, "lower": 128, "cycle": 0.0, "upper_sleep": 0.0, "upper_wake": 0.0},
    "semi-ali": {**INFERRING, "label_weight": 1.0, "cycle": 0.0, "vat": 0.0, "radius": 1.5},
    "posthoc-ali": INFERRING,
    "latent-regressor": {"distance": "auto"},
    # a weight of 1 degenerates, 0.25 does not (Donahue and others)
    "joint-latent-regressor": {**CONDITIONAL, "weight": 0.25, "distance": "auto"},
    "aae": {**ADVERSARIAL, "weight": 10.0, "distance": "mse", "adversarial": 1.0},
    "semi-aae": {**ADVERSARIAL, "weight": 10.0, "distance": "mse", "adversarial": 1.0, "label_weight": 1.0},
    "vae": {
        "likelihood": "gaussian",
        "sigma": 0.1,
        "beta": 1.0,
        "samples": 1,
        "doubly": False,
        "analytic": True,
    },
    "avb": {
        "divergence": divergences.GAN(),
        "penalty": None,
        "joint_batch": True,
        "likelihood": "gaussian",
        "sigma": 0.1,
        "contrast": False,
        "correlated": False,
    },
    "vae-gan": {**ADVERSARIAL, "feature": 30.0, "gamma": 0.05},
    "gan": CONDITIONAL,
    "infogan": {**CONDITIONAL, "weight": 1.0, "continuous_weight": 1.0, "steady": False},
    # cycle 10, no identity, a pool of 50, and the paper's losses for a half in the library's least squares (Zhu and others)
    "cyclegan": {
        "divergence": divergences.LeastSquares(),
        "penalty": None,
        "noise": None,
        "cycle": 10.0,
        "identity": 0.0,
        "adversarial": 2.0,
        "pool": 50,
    },
}


def settings(kind: type[Game]) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


@pytest.mark.parametrize("name", BEGIN)
def test_what_each_game_begins_with(name: str) -> None:
    found = settings(REGISTRY[name])
    assert found == BEGIN[name]
    assert {key: type(value) for key, value in found.items()} == {key: type(v) for key, v in BEGIN[name].items()}
    game = make(name)
    for key, value in BEGIN[name].items():
        assert getattr(game, key) == value, key


class Logits(nn.Module):
    """l_1 = x_1 + z_1, l_2 = -2 x_1, l_3 = x_2."""

    classes = 3

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def logits(self, x: Tensor, z: Tensor) -> Tensor:
        return self.w * torch.stack([x[:, 0] + z[:, 0], -2 * x[:, 0], x[:, 1]], dim=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.logits(x, z).logsumexp(1)


def networks(name: str) -> dict[str, Any]:
    """Networks for a game of x of two numbers and z of three, in the order of its arguments."""
    linear = {"encoder": nn.Linear(2, 3), "decoder": nn.Linear(3, 2)}
    parts: dict[str, Any] = {
        "encoder": Gaussian(nn.Linear(2, 6)) if name in ("vae", "vae-gan", "avb") else Deterministic(linear["encoder"]),
        "decoder": Deterministic(linear["decoder"]),
        "critic": PairCritic(nn.Linear(5, 1)),
        "cycle_critic": PairCritic(nn.Linear(4, 1)),
        "prior": StandardNormal(3),
    }
    for key in ("to_b", "to_a", "critic_a", "critic_b"):
        parts[key] = nn.Linear(2, 2 if "to" in key else 1)
    if name == "semi-ali":
        parts["critic"] = Logits()
    if name == "hali":
        parts["encoder"] = Chain(Deterministic(nn.Linear(2, 4)), Deterministic(nn.Linear(4, 3)))
        parts["decoder"] = Chain(Deterministic(nn.Linear(3, 4)), Deterministic(nn.Linear(4, 2)))
    if name in ("infogan", "semi-aae"):
        parts["prior"] = Codes(3, categorical=(2,), uniform=0)
    if name == "infogan":
        parts["critic"] = Recognizer(nn.Identity(), nn.Linear(2, 1), nn.Linear(2, 2))
    if name == "vae-gan":
        parts["critic"] = PairCritic(nn.Linear(4, 1), nn.Linear(2, 4))
    wanted = [key for key in inspect.signature(REGISTRY[name]).parameters if key not in BEGIN[name]]
    return {key: parts[key] for key in wanted}


class Nothing(Penalty):
    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return torch.zeros(())


OTHER: dict[str, Any] = {"joint_batch": False, "distance": "l1", "likelihood": "bernoulli", "samples": 1, "pool": 7}
OTHER |= {"doubly": True, "analytic": False, "contrast": True, "correlated": True, "lower": 3, "mismatch": 0.25}


@pytest.mark.parametrize("name", BEGIN)
def test_each_setting_is_kept_under_its_name(name: str) -> None:
    given: dict[str, Any] = {**networks(name)}
    for at, key in enumerate(BEGIN[name]):
        given[key] = OTHER.get(key, 0.5 + at)
    for key, made in (("divergence", divergences.Pearson()), ("penalty", Nothing()), ("noise", Remembers())):
        if key in given:
            given[key] = made
    game = REGISTRY[name](**given)
    for key, value in given.items():
        assert getattr(game, key) is value, key
    if name == "cyclegan":
        assert {domain: pool.size for domain, pool in game.pools.items()} == {"a": 7, "b": 7}  # type: ignore[union-attr, operator]
    if isinstance(example_needs(REGISTRY[name]).get("decoder"), Pretrained):
        assert not any(p.requires_grad for p in game.decoder.parameters())
    assert all(p.requires_grad for player in game.players for p in game.parameters_of(player))


# --- what they refuse ------------------------------------------------------------------------------------------------


def make(name: str, **changes: Any) -> Game:
    return REGISTRY[name](**{**networks(name), **changes})


class Coded(Deterministic):
    """An encoder that says that it knows its moments."""

    has_moments = True
    has_density = False


REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("semi-ali", {"critic": PairCritic(nn.Linear(5, 1))}, UserError, "one logit for each label"),
    ("semi-ali", {"critic": nn.Linear(5, 1)}, UserError, "one logit for each label"),
    ("semi-ali", {"radius": -0.01}, ValueError, "`radius` is -0.01"),
    ("semi-aae", {"prior": StandardNormal(3)}, UserError, "one category"),
    ("semi-aae", {"prior": Codes(7, categorical=(2, 3), uniform=0)}, UserError, "one category"),
    ("semi-aae", {"prior": Codes(7, categorical=(), uniform=1)}, UserError, "one category"),
    ("semi-aae", {"prior": Codes(7, categorical=(3,), uniform=1)}, UserError, "one category"),
    ("semi-aae", {"prior": Codes(7, categorical=(3,), uniform=0, gaussian=1)}, UserError, "one category"),
    ("semi-aae", {"encoder": Gaussian(nn.Linear(2, 6))}, UserError, "choose `encoder='deterministic'`"),
    (
        "avb",
        {"divergence": divergences.Hinge()},
        UserError,
        r"AVB computes log q\(z \| x\).*of Hinge does not determine",
    ),
    (
        "avb",
        {"encoder": Implicit(nn.Linear(4, 3), 2), "contrast": True},
        UserError,
        "another `encoder`, such as basis-noise",
    ),
    ("avb", {"correlated": True}, ValueError, "set both, or neither"),
    ("avb", {"sigma": 0.0}, ValueError, "`sigma` is 0.0"),
    ("avb", {"prior": Codes(3, categorical=(2,), uniform=0)}, UserError, "no density"),
    ("vae", {"prior": Codes(3, categorical=(2,), uniform=0)}, UserError, "no density"),
    ("vae", {"prior": Uniform(3)}, UserError, "infinite"),
    ("avb", {"prior": Uniform(3)}, UserError, "infinite"),
    ("avb", {"prior": Uniform(3), "encoder": Coded(nn.Linear(2, 3))}, UserError, "infinite"),
    ("vae", {"sigma": 0.0}, ValueError, "`sigma` is 0.0"),
    ("vae", {"sigma": -1.0}, ValueError, "`sigma` is -1.0"),
    ("vae", {"sigma": math.inf}, ValueError, "`sigma` is inf"),
    ("vae", {"sigma": math.nan}, ValueError, "`sigma` is nan"),
    (
        "vae",
        {"encoder": Implicit(nn.Linear(4, 3), 2)},
        UserError,
        "another `encoder`, such as gaussian, or the game avb",
    ),
    ("vae", {"beta": -0.01}, ValueError, "`beta` is -0.01"),
    ("vae", {"samples": 0}, ValueError, "`samples` is 0"),
    ("vae", {"samples": 2, "beta": 0.5}, ValueError, "with 2 samples the bound"),
    ("vae", {"samples": 2, "beta": 2.0}, ValueError, "with 2 samples the bound"),
    ("vae-gan", {"encoder": Deterministic(nn.Linear(2, 3))}, UserError, "choose `encoder='gaussian'`"),
    ("vae-gan", {"prior": Uniform(3)}, UserError, "choose `prior='normal'`"),
    ("vae-gan", {"critic": nn.Linear(2, 1)}, UserError, "a critic of x with `features`"),
    ("vae-gan", {"critic": PairCritic(nn.Linear(2, 1))}, UserError, "a critic of x with `features`"),
    *[
        (name, {"mismatch": share}, ValueError, f"`mismatch` is {share}, and a share lies")
        for name in ("ali", "gan", "hali", "semi-ali", "posthoc-ali", "infogan", "joint-latent-regressor")
        for share in (-0.01, 1.01, math.nan)
    ],
    *[
        (name, {"sleep": -0.01}, ValueError, "`sleep` is -0.01, and a weight is 0 or more")
        for name in ("ali", "alice", "semi-ali", "posthoc-ali", "hali")
    ],
    ("hali", {"upper_sleep": -0.01}, ValueError, "`upper_sleep` is -0.01"),
    ("hali", {"upper_wake": math.nan}, ValueError, "`upper_wake` is nan"),
    (
        "ali",
        {"encoder": Implicit(nn.Linear(4, 3), 2), "sleep": 0.5},
        UserError,
        "exact mean of a conditional, and Implicit has none; choose another `encoder`, such as gaussian, or leave `sleep`",
    ),
    ("infogan", {"prior": StandardNormal(3)}, UserError, "a prior with codes"),
    ("infogan", {"critic": nn.Linear(2, 1)}, UserError, "a Recognizer, and this one is a Linear"),
    ("infogan", {"weight": -0.01}, ValueError, "`weight` is -0.01"),
    ("infogan", {"continuous_weight": -0.01}, ValueError, "`continuous_weight` is -0.01"),
    ("infogan", {"weight": math.nan}, ValueError, "`weight` is nan"),
    ("infogan", {"continuous_weight": math.nan}, ValueError, "`continuous_weight` is nan"),
    ("infogan", {"decoder": Deterministic(nn.Linear(4, 2))}, UserError, "do not fit the generator: z has 3 dimensions"),
    (
        "infogan",
        {"critic": Recognizer(nn.Identity(), nn.Linear(2, 1), nn.Linear(2, 3))},
        UserError,
        r"they need 2 outputs .* its head returns \(3,\)",
    ),
    ("cyclegan", {"cycle": -0.01}, ValueError, "`cycle` is -0.01"),
    ("cyclegan", {"identity": -0.01}, ValueError, "`identity` is -0.01"),
    ("cyclegan", {"adversarial": -0.01}, ValueError, "`adversarial` is -0.01"),
    ("cyclegan", {"cycle": math.nan}, ValueError, "`cycle` is nan"),
    ("cyclegan", {"adversarial": math.nan}, ValueError, "`adversarial` is nan"),
    ("cyclegan", {"cycle": 0.0, "adversarial": 0.0}, ValueError, "both 0"),
    ("cyclegan", {"pool": -1}, ValueError, "`size` is -1"),
    *[
        (name, changes, UserError, words)
        for name in ("latent-regressor", "joint-latent-regressor")
        for changes, words in (
            ({"distance": "cross-entropy"}, "choose `prior='uniform'`"),
            (
                {"distance": "cross-entropy", "prior": Uniform(3), "encoder": Gaussian(nn.Linear(2, 6))},
                "choose `encoder='deterministic'`, or another distance",
            ),
        )
    ],
]


@pytest.mark.parametrize(("name", "changes", "error", "words"), REFUSED)
def test_what_cannot_be_is_refused(name: str, changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        make(name, **changes)
    assert caught.type is error


def test_what_lies_on_the_border_is_allowed() -> None:
    dirac, gaussian = Deterministic(nn.Linear(2, 3)), Gaussian(nn.Linear(2, 6))
    for name, changes in (
        ("ali", {"encoder": Implicit(nn.Linear(4, 3), 2), "mismatch": 1.0}),
        ("ali", {"encoder": gaussian, "sleep": 0.5}),
        ("semi-ali", {"radius": 0.0}),
        ("semi-aae", {"prior": Codes(9, categorical=(5,), uniform=0)}),
        ("avb", {"encoder": Implicit(nn.Linear(4, 3), 2), "prior": Uniform(3)}),
        ("avb", {"encoder": BasisNoise(nn.Linear(2, 6), 3, noise=2, basis=1), "contrast": True}),
        ("avb", {"contrast": True, "correlated": True}),
        ("vae", {"sigma": 1e-6}),
        ("vae", {"sigma": 1e6}),
        ("vae", {"beta": 0.0}),
        ("vae", {"beta": 0.5}),
        ("vae", {"samples": 2}),
        ("vae", {"doubly": True}),
        ("infogan", {"weight": 0.0}),
        ("infogan", {"continuous_weight": 0.0}),
        ("cyclegan", {"cycle": 0.0}),
        ("cyclegan", {"adversarial": 0.0}),
        ("cyclegan", {"pool": 0}),
        ("latent-regressor", {"distance": "cross-entropy", "prior": Uniform(3), "encoder": dirac}),
        ("latent-regressor", {"distance": "mse", "prior": StandardNormal(3), "encoder": gaussian}),
    ):
        make(name, **changes)


def test_doubly_is_for_a_gaussian_encoder() -> None:
    class Dense(Gaussian):
        pass

    with pytest.raises(UserError, match="`doubly` needs a Gaussian encoder"):
        flow = type("Other", (Conditional,), {"forward": lambda self, *c: None, "density": True})(nn.Linear(2, 3))
        make("vae", encoder=flow, doubly=True)
    make("vae", encoder=Dense(nn.Linear(2, 6)), doubly=True)


def test_the_kl_is_in_closed_form_where_it_has_one() -> None:
    """A Gaussian encoder, a standard normal prior, one sample, and nothing that asks for the density at the draw."""
    other = type("Other", (Conditional,), {"forward": lambda self, *c: None, "density": True})(nn.Linear(2, 3))
    for changes, expected in (
        ({}, True),
        ({"analytic": False}, False),
        ({"samples": 2}, False),
        ({"doubly": True}, False),
        ({"prior": Learned(3)}, False),
        ({"encoder": other}, False),
    ):
        assert make("vae", **changes).analytic is expected, changes


def test_infogan_tries_its_networks_in_their_own_precision_and_leaves_no_trace() -> None:
    torch.manual_seed(3)
    norm = nn.BatchNorm1d(2).double()
    parts = networks("infogan")
    decoder = Deterministic(nn.Sequential(nn.Linear(3, 2), norm, nn.Dropout(0.5))).double()
    trunk = nn.BatchNorm1d(2)
    parts["critic"].trunk = trunk
    parts["critic"].double().train()
    kept = torch.get_rng_state()
    InfoGAN(decoder, parts["critic"], parts["prior"])  # a prior that is still in float32
    assert torch.equal(torch.get_rng_state(), kept)
    assert norm.running_mean is not None
    assert trunk.running_mean is not None
    assert not norm.running_mean.any()
    assert not trunk.running_mean.any()
    assert norm.training
    assert parts["critic"].training
    for error in (RuntimeError, ValueError, IndexError):

        def fails(z: Tensor, error: type[Exception] = error) -> Tensor:
            raise error("first line\nsecond line")

        with pytest.raises(UserError, match=r"cannot take it \(first line\)") as caught:
            make("infogan", decoder=Deterministic(By(fails)))
        assert "second line" not in str(caught.value)

    def broken(z: Tensor) -> Tensor:
        raise TypeError("a mistake of somebody else")

    with pytest.raises(TypeError, match="somebody else"):
        make("infogan", decoder=Deterministic(By(broken)))


def test_categories_and_continuous_codes_have_a_weight_each() -> None:
    """Two categories, of two and three values, and two continuous codes: 3 (L_1 + L_2) + 5 (L_3 + L_4)."""
    prior = Codes(8, categorical=(2, 3), uniform=1, gaussian=1, std=0.5).double()
    critic = Recognizer(nn.Identity(), nn.Linear(2, 1), nn.Linear(2, 7)).double()
    game = InfoGAN(Deterministic(nn.Linear(8, 2).double()), critic, prior, weight=3.0, continuous_weight=5.0)
    z = rows([0.3, 1.0, 0.0, 0.0, 0.0, 1.0, 0.4, -1.2], [0.9, 0.0, 1.0, 1.0, 0.0, 0.0, -0.7, 0.8])
    answers = rows([0.6, -0.2, 0.9, -0.3, 0.5, 0.1, -0.4], [0.2, 0.7, -0.8, 0.4, 0.3, -0.5, 1.1])
    first = [answers[0, :2].softmax(0)[0], answers[1, :2].softmax(0)[1]]
    second = [answers[0, 2:5].softmax(0)[2], answers[1, 2:5].softmax(0)[0]]
    categories = sum(math.log(p) for p in (*first, *second)) / 2 + math.log(2) + math.log(3)
    missed = (z[:, 6:] - answers[:, 5:]) / 0.5
    continuous = float(-missed.square().sum() / 2 / 2) - 2 * math.log(0.5 * math.sqrt(2 * math.pi))
    continuous += math.log(2) + math.log(2 * math.pi * math.e) / 2
    assert game.information_bound(answers, z).item() == pytest.approx(3 * categories + 5 * continuous)


# --- what they all have from `Game` ------------------------------------------------------------------------------------


class Remembers:
    """A disturbance that adds 10 to the first part of what a critic sees, and keeps what it hears."""

    def __init__(self) -> None:
        self.was: list[Any] = []

    def set_progress(self, step: int, steps: int) -> None:
        self.was.append(("at", step, steps))

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return (joint[0] + 10, *joint[1:])

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        self.was.append((first.tolist(), second.tolist(), images))

    def state_dict(self) -> dict[str, Tensor]:
        return {"strength": torch.tensor(0.25)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.was.append(state)


class Hears(Nothing):
    def __init__(self) -> None:
        super().__init__()
        self.was: list[Any] = []

    def set_progress(self, step: int, steps: int) -> None:
        self.was.append((step, steps))

    def after_step(self, critic: nn.Module) -> None:
        self.was.append(critic)

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        self.was.append((critic, p, q))
        return torch.tensor(3.5)


def gan(**changes: Any) -> Game:
    return make("gan", **{"critic": By(lambda x: x.sum(1)), **changes})


def test_an_outcome_is_what_a_look_came_to_and_is_not_changed() -> None:
    outcome = Outcome({"critic": torch.tensor(1.0)})
    assert outcome.scores == {}
    for key in ("losses", "scores"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(outcome, key, {})


def test_a_look_is_the_losses_of_what_was_sampled() -> None:
    game = gan()
    seen: list[Any] = []
    game.sample = lambda *batch: {"batch_size": batch}  # type: ignore[method-assign]
    game.losses = lambda joints: seen.append(joints) or "outcome"  # type: ignore[method-assign, assignment, func-returns-value]
    x, y = rows([1.0]), rows([2.0])
    assert game(x, y) == "outcome"
    assert seen == [{"batch_size": (x, y)}]


def test_penalty_and_noise_are_given_the_step() -> None:
    penalty, noise = Hears(), Remembers()
    gan(penalty=penalty, noise=noise).set_progress(3, 7)  # type: ignore[arg-type]
    assert penalty.was == [(3, 7)]
    assert noise.was == [("at", 3, 7)]
    gan(penalty=penalty).set_progress(4, 7)
    assert penalty.was == [(3, 7), (4, 7)]
    gan(noise=noise).set_progress(5, 7)
    assert noise.was == [("at", 3, 7), ("at", 5, 7)]
    gan().set_progress(0, 1)


def test_weights_are_constrained_when_their_own_player_has_moved() -> None:
    for name, settings in BEGIN.items():
        kind = REGISTRY[name]
        if "penalty" not in settings:
            continue
        game = make(name, penalty=(penalty := Hears()))
        for player in game.players:
            game.after_step(player)
            expected = [getattr(game, key) for key in kind.players[player] if "critic" in key]
            assert len(penalty.was) == len(expected), (name, player)
            assert all(ours is theirs for ours, theirs in zip(penalty.was, expected, strict=True))
            penalty.was.clear()
            make(name).after_step(player)  # without a penalty


def test_what_is_fixed_stays_in_evaluation_mode() -> None:
    for name in ("posthoc-ali", "latent-regressor"):
        game = make(name)
        assert game.train() is game
        assert (game.training, game.encoder.training, game.decoder.training) == (True, True, False)
        assert game.eval() is game
        assert (game.training, game.encoder.training, game.decoder.training) == (False, False, False)
    game = make("ali")
    assert game.eval().train().decoder.training
    assert not game.train(False).decoder.training


def test_the_first_two_joints_are_a_pair() -> None:
    game = make("vae")
    a, b, c = rows([2.0]), rows([1.0]), rows([0.0])
    assert game.score_pairs(Outcome({})) == []
    assert game.score_pairs(Outcome({}, {"a": a})) == []
    for scores in ({"a": a, "b": b}, {"a": a, "b": b, "c": c}):
        ((high, low),) = game.score_pairs(Outcome({}, scores))
        assert high is a
        assert low is b


def test_the_surest_critic_is_the_one_that_tells_best() -> None:
    game = make("vae")
    middle = (torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))  # 3/4
    worst = (torch.tensor([1.0, 3.0]), torch.tensor([4.0, 9.0]))  # 0
    best = (torch.tensor([0.3, 0.2]), torch.tensor([0.1, 0.0]))  # 1
    for pairs, expected, area in (
        ([], None, 0.0),
        ([worst], worst, 0.0),
        ([worst, middle], middle, 0.75),
        ([middle, worst], middle, 0.75),
        ([worst, best, middle], best, 1.0),
    ):
        game.score_pairs = lambda outcome, pairs=pairs: pairs  # type: ignore[method-assign, misc]
        assert game.highest_auc_pair(Outcome({})) is expected
        assert game.highest_auc(Outcome({})) == area


def test_noise_hears_the_surest_critic_and_counts_images() -> None:
    outcome = Outcome({}, {"data": torch.tensor([2.0, 5.0, 1.0]), "model": torch.tensor([4.0, 3.0, 0.0])})
    for critic, images in (
        (nn.Linear(2, 1), 3),
        (PackedCritic(nn.Linear(4, 1), 2), 6),
        (PackedCritic(nn.Linear(8, 1), 4), 12),
    ):
        game = gan(critic=critic, noise=(noise := Remembers()))
        game.on_outcome(outcome)
        assert noise.was == [([2.0, 5.0, 1.0], [4.0, 3.0, 0.0], images)]
        game.on_outcome(Outcome({}, {"data": torch.tensor([2.0])}))  # no pair, nothing to hear
        assert len(noise.was) == 1
    game = make("alice-adversarial", noise=(noise := Remembers()))
    sure, unsure = torch.tensor([2.0, 1.0]), torch.tensor([0.0, 1.5])
    game.on_outcome(Outcome({}, {"q": unsure, "p": unsure, "same": sure, "cycle": unsure}))
    assert noise.was == [([2.0, 1.0], [0.0, 1.5], 2)]
    gan().on_outcome(outcome)
    assert gan(critic=PackedCritic(nn.Linear(4, 1), 2)).pack == 2
    assert gan().pack == make("vae").pack == 1


def test_what_is_remembered_is_the_noises_own() -> None:
    assert gan().extra_state() == {}
    gan().load_extra_state({})
    game = gan(noise=(noise := Remembers()))
    assert game.extra_state() == {"strength": torch.tensor(0.25)}
    game.load_extra_state({"strength": torch.tensor(2.0)})
    assert noise.was == [{"strength": torch.tensor(2.0)}]


def test_a_critic_scores_each_joint_in_one_pass_or_in_a_pass_each() -> None:
    """Of 2, 4 and 6 samples; alone, and in packs of two."""
    parts = [(torch.arange(2.0 * n).view(n, 2) + n, torch.ones(n, 1) * n) for n in (2, 4, 6)]
    for pack in (1, 2):
        for together in (True, False):
            sizes: list[int] = []

            def judge(x: Tensor, z: Tensor, sizes: list[int] = sizes) -> Tensor:
                sizes.append(len(x))
                return x[:, 0] + 100 * z[:, 0]

            critic = PackedCritic(By(judge), 2) if pack == 2 else By(judge)
            game = gan(critic=critic, joint_batch=together)
            found = game.score(critic, *parts)
            assert sizes == ([12 // pack] if together else [2 // pack, 4 // pack, 6 // pack])
            for scores, (x, z) in zip(found, parts, strict=True):
                torch.testing.assert_close(scores, (x[:, 0] + 100 * z[:, 0])[::pack])


@pytest.mark.parametrize("joint_batch", [True, False])
def test_noise_is_in_what_is_scored_in_training_and_nowhere_else(joint_batch: bool) -> None:
    penalty = Hears()
    game = gan(noise=Remembers(), penalty=penalty, joint_batch=joint_batch)
    x = rows([0.5, 0.25], [1.5, -0.75])
    (scores,) = game.score(game.critic, (x,))
    torch.testing.assert_close(scores, x.sum(1) + 20)
    joints = {"data": (x,), "model": (2 * x,)}
    outcome = game.losses(joints)
    torch.testing.assert_close(outcome.scores["data"], x.sum(1) + 20)
    torch.testing.assert_close(outcome.scores["model"], 2 * x.sum(1) + 20)
    ((critic, p, q),) = penalty.was
    assert critic is game.critic
    assert p is joints["data"]
    assert q is joints["model"]
    (scores,) = game.eval().score(game.critic, (x,))
    torch.testing.assert_close(scores, x.sum(1))


def test_a_charge_is_the_penaltys_or_none() -> None:
    joint = (rows([0.5, 0.25]),)
    assert gan().penalize(joint, joint) == 0.0
    assert float(gan(penalty=Hears()).penalize(joint, joint)) == 3.5


@pytest.mark.parametrize("joint_batch", [True, False])
def test_scores_are_in_full_precision_under_autocast(joint_batch: bool) -> None:
    game = make("gan", critic=PairCritic(nn.Linear(2, 1)), joint_batch=joint_batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert game.critic(torch.randn(4, 2)).dtype == torch.bfloat16
        assert {scores.dtype for scores in game.score(game.critic, (torch.randn(4, 2),))} == {torch.float32}
        outcome = make("vae-gan")(torch.randn(4, 2))
        assert {loss.dtype for loss in outcome.losses.values()} == {torch.float32}
        features = make("vae-gan").features(torch.randn(4, 2), torch.randn(4, 2))
        assert {found.dtype for found in features} == {torch.float32}
        assert [len(found) for found in features] == [4, 4]
        cycle = make("cyclegan", identity=0.5)
        joints = cycle.sample(torch.randn(4, 2), torch.randn(4, 2))
        assert {part.dtype for joint in joints.values() for part in joint} == {torch.float32}
        white, log_scale = make("avb", contrast=True).whiten(
            torch.randn(4, 3), Gaussian(nn.Linear(2, 6))(torch.randn(4, 2))
        )
        assert (white.dtype, log_scale.dtype) == (torch.float32, torch.float32)


def test_a_player_is_asked_for_by_its_name() -> None:
    game = make("alice-adversarial")
    assert [id(p) for p in game.parameters_of("critic")] == [
        *map(id, game.critic.parameters()),
        *map(id, game.cycle_critic.parameters()),  # type: ignore[union-attr, operator]
    ]
    assert [id(p) for p in game.parameters_of("generator")] == [
        *map(id, game.encoder.parameters()),
        *map(id, game.decoder.parameters()),
    ]
    with pytest.raises(UserError, match=r"^`player` names 'judge'"):
        game.parameters_of("judge")
    with pytest.raises(
        UserError, match=r"^`best` names 'judge', .* of ALI; its players are 'generator' and 'critic'\.$"
    ):
        ALI.check_player("judge", "best")
    ALI.check_player("critic")


# --- the likelihood side ----------------------------------------------------------------------------------------------


class Watched(Gaussian):
    """An encoder that keeps what it is given."""

    def set_log_joint(self, log_joint: Any) -> None:
        self.log_joint = log_joint

    def set_decoder(self, decoder: Conditional) -> None:
        self.given = [decoder]


IMAGES = torch.tensor([[[[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]], [[[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]]], dtype=torch.float64)
LATENTS = rows([0.5, -0.3, 1.2], [-0.9, 0.8, 0.4])


def variational(kind: str, sigma: float = 0.3) -> Variational:
    """A mean of 2 x 3 pixels, sigmoid(z_j) in the upper row and sigmoid(-2 z_j) in the lower one."""
    decoder = Deterministic(By(lambda z: torch.stack([z.sigmoid(), (-2 * z).sigmoid()], dim=1)[:, None]))
    game = VAE(Watched(By(lambda x: x)), decoder, StandardNormal(3).double(), likelihood=kind, sigma=sigma)  # type: ignore[arg-type]
    return game


def test_likelihoods_are_sums_over_all_pixels() -> None:
    means = [[[1 / (1 + math.exp(-v)) for v in z], [1 / (1 + math.exp(2 * v)) for v in z]] for z in LATENTS.tolist()]
    for kind in ("gaussian", "bernoulli"):
        game = variational(kind)
        expected = []
        for image, mean in zip(IMAGES[:, 0].tolist(), means, strict=True):
            pixels = [(x, m) for xs, ms in zip(image, mean, strict=True) for x, m in zip(xs, ms, strict=True)]
            if kind == "gaussian":
                expected.append(
                    sum(-(((x - m) / 0.3) ** 2) / 2 - math.log(0.3 * math.sqrt(2 * math.pi)) for x, m in pixels)
                )
            else:
                expected.append(sum(math.log(m) if x else math.log(1 - m) for x, m in pixels))
        assert game.binary == (kind == "bernoulli")
        assert game.log_likelihood(IMAGES, LATENTS).tolist() == pytest.approx(expected)
        prior = [-sum(v**2 for v in z) / 2 - 1.5 * math.log(2 * math.pi) for z in LATENTS.tolist()]
        joint = [a + b for a, b in zip(expected, prior, strict=True)]
        assert game.log_joint(IMAGES, LATENTS).tolist() == pytest.approx(joint)
        outputs = game.outputs(LATENTS)
        assert outputs.shape == (2, 1, 2, 3)
        by_hand = torch.stack([LATENTS, -2 * LATENTS], dim=1)[:, None]
        torch.testing.assert_close(outputs, by_hand if kind == "bernoulli" else by_hand.sigmoid())


def test_an_encoder_is_given_the_games_own_density_and_its_decoder() -> None:
    game = variational("gaussian")
    encoder: Any = game.encoder
    assert encoder.log_joint.__self__ is game
    assert encoder.log_joint.__func__ is Variational.log_joint
    assert encoder.given[0] is game.decoder
    other: Any = copy.deepcopy(game)
    assert other.encoder.log_joint.__self__ is other


def test_what_is_simulated_is_of_the_likelihood() -> None:
    z = LATENTS[:1].expand(4000, 3)
    for kind in ("gaussian", "bernoulli"):
        game = variational(kind)
        torch.manual_seed(0)
        x = game.simulate(z)
        mean = torch.stack([LATENTS[0], -2 * LATENTS[0]]).sigmoid()[None]
        torch.testing.assert_close(x.mean(0), mean, atol=0.03, rtol=0)
        if kind == "bernoulli":
            assert set(x.unique().tolist()) == {0.0, 1.0}
        else:
            torch.testing.assert_close(x.std(0), torch.full_like(mean, 0.3), rtol=0.06, atol=0)


def test_a_game_without_a_likelihood_says_so() -> None:
    with pytest.raises(
        UserError, match=r"^ALI has no density.*kernel density estimate \(kde\); log p\(x\) needs a game"
    ):
        require(make("ali"), HasLikelihood, "log p(x)")


class Moved(Prior):
    """N(m, I), m being learned."""

    mean, variance = 0.0, 1.0

    def __init__(self) -> None:
        super().__init__(3)
        self.m = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(*shape, 3, dtype=torch.float64)

    def log_prob(self, z: Tensor) -> Tensor:
        return -(z - self.m).square().sum(1) / 2


@pytest.mark.parametrize("contrast", [False, True])
def test_a_learned_prior_is_moved_by_its_density_alone_and_counts_once(contrast: bool) -> None:
    encoder = Gaussian(By(lambda x: torch.cat([x, x[:, :1], 0 * x, 0 * x[:, :1]], dim=1)))
    critic = By(lambda x, z: x[:, 0] + z[:, 1])
    decoder = Deterministic(By(lambda z: z[:, :2]))
    game = AVB(encoder, decoder, critic, prior := Moved(), sigma=1.0, contrast=contrast)
    x = rows([0.5, -0.3], [1.5, 0.7])
    joints = game.sample(x)
    loss = game.losses(joints).losses["autoencoder"]
    z = joints["posterior"][0]
    (slope,) = torch.autograd.grad(loss, prior.m)
    torch.testing.assert_close(slope, -(z - 0.4).sum(1).mean())
    if not contrast:
        score = (x[:, 0] + z[:, 1]).mean()
        reconstructed = (x - z[:, :2]).square().sum(1).mean() / 2 + math.log(2 * math.pi)
        torch.testing.assert_close(loss, score + reconstructed)


# --- latent regressors, virtual adversarial training, distances -------------------------------------------------------


def test_unit_vectors_are_of_all_numbers_of_an_image() -> None:
    x = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]], [[[0.0, 0.0], [-2.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    expected = torch.tensor([[[[0.6, 0.0], [0.0, 0.8]]], [[[0.0, 0.0], [-1.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    torch.testing.assert_close(semiali.normalized(x), expected)
    torch.testing.assert_close(semiali.normalized(1e-6 * x), expected)


def smoothing(game: Game, joints: dict[str, tuple[Tensor, ...]]) -> float:
    torch.manual_seed(0)
    with_it = game.losses(joints).losses["critic"]
    game.vat = 0.0
    without = game.losses(joints).losses["critic"]
    game.vat = 0.5
    return (with_it - without).item()


def test_virtual_adversarial_training_is_charged_where_the_critic_is_trained() -> None:
    game = make("semi-ali", vat=0.5, radius=0.3, critic=Logits(2.0))
    x, z = rows([0.4, -0.2], [0.1, 0.7], [-0.5, 0.3]), rows([0.2, 0.0, 0.1], [-0.4, 0.3, 0.2], [0.1, 0.1, 0.5])
    joints = {"q": (x, z), "p": (2 * x, z), "labeled": (x[:2], z[:2], torch.tensor([2, 0]))}
    torch.manual_seed(0)
    assert semiali.PROBE_NORM == 0.1
    alone = game.vat_loss(x, z, game.critic.logits(x, z)).item()  # type: ignore[operator]
    assert alone > 1e-3
    assert smoothing(game, joints) == pytest.approx(0.5 * alone)
    with torch.no_grad():
        assert smoothing(game, joints) == 0
    assert smoothing(game.eval(), joints) == 0
    images, latents = x.clone().requires_grad_(), z.clone().requires_grad_()  # as if encoder and decoder had made them
    charge = game.vat_loss(images, latents, game.critic.logits(images, latents))  # type: ignore[operator]
    slopes = torch.autograd.grad(charge, [images, latents, game.critic.w], allow_unused=True)  # type: ignore[union-attr, operator]
    assert [slope is None for slope in slopes] == [True, True, False]
    # no change of this norm moves an image's answer more than the worst one, which is nearly found
    logits: Any = game.critic.logits
    target = logits(x, z).detach().softmax(1)
    angles = torch.linspace(0, 2 * math.pi, 201, dtype=torch.float64)
    circle = 0.3 * torch.stack([angles.cos(), angles.sin()], dim=1)
    beside = logits((x[:, None] + circle).flatten(0, 1), z.repeat_interleave(201, dim=0)).detach()
    moved = torch.distributions.kl_divergence(
        torch.distributions.Categorical(target[:, None]),
        torch.distributions.Categorical(logits=beside.view(3, 201, 3)),
    )
    worst = moved.amax(1).mean().item()
    assert 0.5 * worst < alone <= worst + 1e-6


def test_classes_are_read_off_the_mean_of_the_posterior() -> None:
    game = make("semi-ali", encoder=Gaussian(By(lambda x: torch.cat([2 * x, x[:, :1], x, x[:, :1]], dim=1))))
    x = rows([0.4, -0.2], [0.1, 0.7])
    logits = torch.stack([x[:, 0] + 2 * x[:, 0], -2 * x[:, 0], x[:, 1]], dim=1)
    torch.testing.assert_close(game.classify(x), logits.exp() / logits.exp().sum(1, keepdim=True))  # type: ignore[operator]


def test_distances_between_domains_are_in_pixels_from_minus_1_to_1() -> None:
    assert distance(rows([0.2, 0.9]), rows([0.5, 0.1])).item() == pytest.approx(2 * (0.3 + 0.8) / 2)


def test_what_a_regressor_misses_is_read_off_a_mean_or_a_draw() -> None:
    """An implicit encoder is drawn from; of a Gaussian one the mean is held to z, whatever its width."""
    from interalia.games.regressor import regression_loss

    z = rows([0.5, -0.5, 0.2], [1.0, -1.0, 0.3])
    wide = Gaussian(By(lambda x: torch.cat([z + 0.1, torch.ones_like(z)], dim=1)))
    assert regression_loss(wide, "mse", z, z).item() == pytest.approx(0.01)
    assert regression_loss(wide, "l1", z, z).item() == pytest.approx(0.1)
    noisy = Implicit(By(lambda c: c[:, :3] + c[:, 3:]), 3)
    torch.manual_seed(0)
    first = regression_loss(noisy, "auto", z, z).item()
    assert first != regression_loss(noisy, "auto", z, z).item()


def test_a_setting_of_games_that_had_another_name_is_read() -> None:
    old = {"game": "infogan(together=False, weight=2.0)", "name": "together = alone"}
    assert with_new_values(old) == {"game": "infogan(joint_batch=False, weight=2.0)", "name": "together = alone"}
    assert with_new_values({"game": "gan( together =True)"})["game"] == "gan( joint_batch =True)"
