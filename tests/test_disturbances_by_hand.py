"""Disturbances on images of a few pixels with the draws made again by hand; borders, defaults and what is remembered."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from interalia.adversarial import disturbances as room
from interalia.adversarial.disturbances import (
    AUGMENTATIONS,
    CHANGES,
    NOISES,
    PROBABILITY,
    AdaptiveAugmentation,
    Augmentation,
    ConstantNoise,
    Disturbance,
    Disturbances,
    InstanceNoise,
    colour,
    cutout,
    flip,
    in_range,
    pixels_of_share,
    randint_per_sample,
    translation,
    uniform_per_sample,
)
from interalia.adversarial.divergences import auc


def test_settings_begin_as_documented() -> None:
    constants = {
        "BRIGHTNESS": 0.25, "SATURATION": 1.0, "CONTRAST": 0.5, "SHIFT_SHARE": 0.125, "FLIP_SHARE": 0.4, "CUTOUT_SHARE": 0.5,
        "PROBABILITY": 0.7,
    }  # fmt: skip
    assert {name: getattr(room, name) for name in constants} == constants
    assert list(CHANGES.items()) == [
        ("colour", colour), ("translation", translation), ("cutout", cutout), ("flip", flip)
    ]  # fmt: skip
    assert {"annealed": InstanceNoise, "constant": ConstantNoise} == NOISES
    assert {"fixed": Augmentation, "adaptive": AdaptiveAugmentation} == AUGMENTATIONS
    expected = {
        InstanceNoise: {"std": 0.1, "until": 1.0, "final": 0.0},
        ConstantNoise: {"std": 0.1},
        Augmentation: {"policy": "colour,translation,cutout", "probability": 0.7},
        AdaptiveAugmentation: {"policy": "flip,translation,colour,cutout", "target": 0.6, "images": 500_000},
    }
    for kind, defaults in expected.items():
        assert {name: p.default for name, p in inspect.signature(kind).parameters.items()} == defaults
    assert PROBABILITY == 0.7
    assert AdaptiveAugmentation().probability == 0
    assert Augmentation(policy=" flip ,colour").policy == ["flip", "colour"]
    assert AdaptiveAugmentation().policy == ["flip", "translation", "colour", "cutout"]


# ---- noise


def test_levels_of_noise() -> None:
    """From 0.4 to 0.1 over the first half of 80 steps."""
    noise = InstanceNoise(std=0.4, until=0.5, final=0.1)
    assert noise.level == 0.4
    levels = []
    for step in (0, 10, 20, 39, 40, 41, 80):
        noise.set_progress(step, 80)
        levels.append(noise.level)
    assert levels == pytest.approx([0.4, 0.325, 0.25, 0.1075, 0.1, 0.1, 0.1])
    rising = InstanceNoise(std=0.1, final=0.4)
    rising.set_progress(1, 4)
    assert rising.level == pytest.approx(0.175)
    short = InstanceNoise(std=0.4, until=0.5)  # the first of one step or of none is the first
    for steps in (0, 1):
        short.set_progress(0, steps)
        assert short.level == 0.4
    short.set_progress(1, 1)
    assert short.level == 0
    constant = ConstantNoise(std=0.3)
    assert (constant.std, constant.final, constant.until) == (0.3, 0.3, 1.0)
    constant.set_progress(7, 8)
    assert constant.level == pytest.approx(0.3)


def test_noise_is_added_to_x_alone_in_its_own_size() -> None:
    x, z, y = torch.rand(3, 2, 2, dtype=torch.float64), torch.ones(3, 2), torch.ones(3)
    noise = InstanceNoise(std=0.4)
    torch.manual_seed(0)
    noisy, *rest = noise((x, z, y))
    torch.manual_seed(0)
    torch.testing.assert_close(noisy, x + 0.4 * torch.randn_like(x))
    assert rest[0] is z
    assert rest[1] is y
    assert noise.state_dict() == {}
    state = torch.random.get_rng_state()
    noise.set_progress(4, 4)
    assert noise((x,))[0] is x  # without a draw
    assert torch.equal(state, torch.random.get_rng_state())


def test_borders_of_noise() -> None:
    assert InstanceNoise(std=0.0, final=0.0, until=1e-9).until == 1e-9
    for settings in ({"std": -1e-9}, {"final": -1e-9}, {"until": 0.0}, {"until": -0.1}, {"until": 1 + 1e-9}):
        with pytest.raises(ValueError, match="they lie in"):
            InstanceNoise(**settings)
    with pytest.raises(ValueError, match="they lie in"):
        ConstantNoise(std=-0.1)


# ---- changes of images


def every(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_colour_by_hand() -> None:
    """Two images of two channels and two pixels, the first is changed; draws for brightness, saturation, contrast."""
    x = torch.tensor([0.1, 0.5, 0.3, 0.9], dtype=torch.float64).view(1, 2, 1, 2).repeat(2, 1, 1, 1)
    chosen = torch.tensor([True, False])
    torch.manual_seed(0)
    changed = colour(x, chosen)
    torch.manual_seed(0)
    b, s, c = (2 * torch.rand(2, dtype=torch.float64)[0].item() - 1 for _ in range(3))
    b, s, c = b / 4, 1 + s, 1 + c / 2
    gray, m = (0.2, 0.7), 0.45  # of a pixel's two channels, and of all pixels
    rows = ((0.1, 0.5), (0.3, 0.9))
    expected = [[m + b + c * (g - m) + c * s * (v - g) for v, g in zip(row, gray, strict=True)] for row in rows]
    torch.testing.assert_close(changed[0, :, 0], torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(changed[1], x[1])


def test_translation_by_hand() -> None:
    """Images of 12 rows and 20 columns go by up to 2 and 3 pixels, down first; two images of one sample go together."""
    assert (pixels_of_share(1 / 8, 12), pixels_of_share(1 / 8, 20)) == (2, 3)
    x = torch.arange(1.0, 1 + 6 * 2 * 3 * 12 * 20).view(6, 2, 3, 12, 20)
    chosen = torch.tensor([True, True, True, True, True, False])
    torch.manual_seed(3)
    changed = translation(x, chosen)
    torch.manual_seed(3)
    down, right = torch.randint(-2, 3, (6,)).tolist(), torch.randint(-3, 4, (6,)).tolist()
    assert min(down) < 0 < max(down)
    assert min(right) < 0 < max(right)
    for i in range(6):
        a, b = (down[i], right[i]) if i < 5 else (0, 0)
        expected = torch.zeros(2, 3, 12, 20)
        for r in range(12):
            for k in range(20):
                if 0 <= r - a < 12 and 0 <= k - b < 20:
                    expected[:, :, r, k] = x[i, :, :, r - a, k - b]
        assert torch.equal(changed[i], expected), (i, a, b)


def test_cutout_by_hand() -> None:
    """Of 5 rows 3 around any of them, of 8 columns 4 around any border of two, 9 of which there are."""
    assert (pixels_of_share(1 / 2, 5), pixels_of_share(1 / 2, 8)) == (3, 4)
    x = torch.rand(40, 2, 3, 5, 8) + 1
    chosen = torch.arange(40) % 4 != 0
    torch.manual_seed(0)
    changed = cutout(x, chosen)
    torch.manual_seed(0)
    centre, border = torch.randint(0, 5, (40,)).tolist(), torch.randint(0, 9, (40,)).tolist()
    assert {*centre} == {*range(5)}
    assert {*border} == {*range(9)}
    for i in range(40):
        expected = x[i].clone()
        for r in range(5):
            for k in range(8):
                if chosen[i] and centre[i] - 1 <= r <= centre[i] + 1 and border[i] - 2 <= k < border[i] + 2:
                    expected[:, :, r, k] = 0
        assert torch.equal(changed[i], expected), i


def test_flip_by_hand() -> None:
    x = torch.rand(30, 2, 3, 4, 5)
    chosen = torch.arange(30) % 3 != 0
    torch.manual_seed(0)
    changed = flip(x, chosen)
    torch.manual_seed(0)
    turned = (torch.rand(30) < 0.4) & chosen
    assert 0 < turned.sum() < chosen.sum()
    for i in range(30):
        assert torch.equal(changed[i], x[i][..., [4, 3, 2, 1, 0]] if turned[i] else x[i])


def test_helpers() -> None:
    torch.manual_seed(0)
    drawn = uniform_per_sample(torch.zeros(4000, 1, 2, 2, dtype=torch.float64), torch.arange(4000) % 2 == 0)
    assert drawn.shape == (4000, 1, 1, 1)
    assert drawn.dtype == torch.float64
    assert not drawn[1::2].any()
    assert (drawn.min().item(), drawn.max().item()) == pytest.approx((-1, 1), abs=0.01)
    assert {*randint_per_sample(torch.zeros(200, 1), -2, 3).tolist()} == {-2, -1, 0, 1, 2, 3}
    assert randint_per_sample(torch.zeros(7, 3), 4, 4).tolist() == [4] * 7
    assert in_range(torch.tensor([-1, 0, 1, 2, 3]), 3).tolist() == [False, True, True, True, False]
    assert [pixels_of_share(1 / 8, side) for side in (3, 4, 11, 12, 20)] == [0, 1, 1, 2, 3]
    assert [pixels_of_share(1 / 2, side) for side in (1, 2, 3, 5)] == [1, 1, 2, 3]


# ---- policies


def test_changes_are_drawn_one_after_the_other() -> None:
    """For each change of the policy first who is changed, then how; images lie beside each other."""
    a, b, z = torch.rand(30, 1, 8, 12), torch.rand(30, 1, 8, 12), torch.rand(30, 5)
    augment = Augmentation(policy="flip,translation", probability=0.3)
    torch.manual_seed(0)
    found = augment((a, z, b))
    torch.manual_seed(0)
    x = torch.stack([a, b], dim=1)
    for change in (flip, translation):
        x = change(x, torch.rand(30) < 0.3)
    assert torch.equal(found[0], x[:, 0])
    assert found[1] is z
    assert torch.equal(found[2], x[:, 1])
    assert not torch.equal(found[0], a)


def test_how_many_images_are_changed() -> None:
    x = torch.rand(4000, 1, 4, 4)
    torch.manual_seed(0)
    for probability in (0.25, 0.7, 1.0):
        (changed,) = Augmentation(policy="colour", probability=probability)((x,))
        share_ = (changed != x).flatten(1).any(1).double().mean().item()
        assert share_ == pytest.approx(probability, abs=0.03)


def test_nothing_is_drawn_where_nothing_is_changed() -> None:
    z, x = torch.rand(4, 3), torch.rand(4, 1, 8, 8)
    state = torch.random.get_rng_state()
    (same,) = Augmentation(probability=1.0)((z,))
    assert same is z
    (same,) = Augmentation(probability=0.0)((x,))
    assert same is x
    assert torch.equal(state, torch.random.get_rng_state())


def test_borders_of_augmentations() -> None:
    assert (Augmentation(probability=0.0).probability, Augmentation(probability=1.0).probability) == (0, 1)
    for bad in (-1e-9, 1 + 1e-9, math.nan):
        with pytest.raises(ValueError, match=r"`probability` is .* lies in \[0, 1\]"):
            Augmentation(probability=bad)
    for bad in ("", "colour,", "colour,blur"):
        with pytest.raises(ValueError, match="`policy` is"):
            Augmentation(policy=bad)
    made = AdaptiveAugmentation(target=1e-9, images=1)
    assert (made.target, made.images) == (1e-9, 1)
    assert AdaptiveAugmentation(target=1 - 1e-9).target < 1
    for settings in ({"target": 0.0}, {"target": 1.0}, {"target": -0.1}, {"images": 0}):
        with pytest.raises(ValueError, match="`target` is"):
            AdaptiveAugmentation(**settings)  # type: ignore[arg-type]


def test_adaptation_by_hand() -> None:
    """Steps of 3 / 40; r of 1/2 at a target of 1/2 is not above it; p stays within [0, 0.7]."""
    augment = AdaptiveAugmentation(target=0.5, images=40)
    sure, even = (torch.tensor([5.0]), torch.tensor([1.0])), (torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    augment.observe(*sure, images=3)
    augment.observe(*sure, images=3)
    assert augment.probability == pytest.approx(0.15)
    augment.observe(*even, images=3)
    assert augment.probability == pytest.approx(0.075)
    memory = augment.state_dict()
    assert list(memory) == ["augmentation"]
    assert memory["augmentation"].dtype == torch.float64
    again = AdaptiveAugmentation()
    again.load_state_dict(memory)
    assert again.probability == augment.probability
    for _ in range(2):
        augment.observe(*even, images=3)
    assert augment.probability == 0
    for _ in range(20):
        augment.observe(*sure, images=3)
    assert augment.probability == 0.7
    slow = AdaptiveAugmentation()
    slow.observe(*sure, images=100)
    assert slow.probability == pytest.approx(100 / 500_000)


# ---- several


class Note(Disturbance):
    def __init__(self, name: str, factor: float, told: list[tuple[object, ...]]) -> None:
        self.name, self.factor, self.told = name, factor, told

    def set_progress(self, step: int, steps: int) -> None:
        self.told.append((self.name, step, steps))

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self.factor * part + 1 for part in joint)

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        self.told.append((self.name, first.item(), second.item(), images))

    def state_dict(self) -> dict[str, Tensor]:
        return {self.name: torch.tensor(self.factor)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.factor = float(state[self.name])


def test_several_are_one() -> None:
    told: list[tuple[object, ...]] = []
    both = Disturbances([Note("a", 2.0, told), Note("b", 5.0, told)])
    found = both((torch.tensor([1.0]), torch.tensor([3.0])))
    assert isinstance(found, tuple)
    assert [part.item() for part in found] == [5 * (2 + 1) + 1, 5 * (6 + 1) + 1]
    both.set_progress(3, 9)
    both.observe(torch.tensor(1.0), torch.tensor(2.0), 7)
    assert told == [("a", 3, 9), ("b", 3, 9), ("a", 1, 2, 7), ("b", 1, 2, 7)]
    assert {name: value.item() for name, value in both.state_dict().items()} == {"a": 2, "b": 5}
    both.load_state_dict({"a": torch.tensor(4.0), "b": torch.tensor(6.0)})
    assert [part.factor for part in both.disturbances] == [4, 6]  # type: ignore[attr-defined]
    none = Disturbances([])([torch.ones(1)])
    assert isinstance(none, tuple)
    with pytest.raises(TypeError):
        Disturbance()  # type: ignore[abstract]


def test_auc_by_counting_pairs() -> None:
    """Of 3 x 4 pairs (1, 2, 5) against (0, 2, 2, 4): 1 + (1 + 1) + 4 = 7, ties by half; in any shape, order and kind."""
    p, q = torch.tensor([5.0, 1.0, 2.0]), torch.tensor([2.0, 0.0, 4.0, 2.0])
    assert auc(p, q) == 7 / 12
    assert auc(q, p) == 5 / 12
    assert auc(p[:, None].requires_grad_(), q.view(2, 2).t()) == 7 / 12
    assert auc(p.bfloat16(), q.bfloat16()) == 7 / 12
    assert isinstance(auc(p, q), float)
    assert auc(torch.tensor([1.0]), torch.tensor([1.0])) == 0.5
