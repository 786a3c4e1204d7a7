"""Disturbances: what is done to joints before a critic sees them; packs and spectral norm beside them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from examples import CONV, batch, build, packs, seen
from torch import Tensor, nn

from interalia import runs
from interalia.adversarial.disturbances import (
    AUGMENTATIONS,
    CHANGES,
    CONTRAST,
    FLIP_SHARE,
    PROBABILITY,
    SATURATION,
    SHIFT_SHARE,
    AdaptiveAugmentation,
    Augmentation,
    Disturbances,
    InstanceNoise,
    pixels_of_share,
)
from interalia.adversarial.divergences import auc
from interalia.adversarial.penalties import R1, R1R2, squared_gradients
from interalia.errors import UserError
from interalia.games import REGISTRY
from interalia.networks.layers import PackedCritic

IMAGES = [name for name, member in REGISTRY.items() if "critic" in member.players and "x" in seen(member)]


def pictures(count: int = 64, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, 16, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_touches_the_chosen_images_alone_and_is_differentiable(name: str) -> None:
    torch.manual_seed(0)
    x = pictures(64, 3).requires_grad_()
    chosen = torch.arange(64) % 2 == 0
    changed = CHANGES[name](x, chosen)
    assert changed.shape == x.shape
    assert torch.equal(changed[~chosen], x[~chosen])
    assert (changed[chosen] != x[chosen]).flatten(1).any(
        1
    ).double().mean() > 0.25  # two fifths are turned over by a flip
    changed.sum().backward()
    assert x.grad is not None
    assert bool(x.grad.any())


def everybody(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


@pytest.mark.parametrize(("height", "width", "down", "right"), [(32, 28, 4, 4), (16, 8, 2, 1), (12, 11, 2, 1)])
def test_translation_moves_whole_pixels_all_equally_often_and_lets_nothing_in(
    height: int, width: int, down: int, right: int
) -> None:
    """DiffAugment's law: int(side / 8 + 1/2) pixels at most, each number as probable as any other."""
    torch.manual_seed(0)
    count = 4000
    x = torch.ones(count, 1, height, width)
    x[:, :, height // 2, width // 2] = 2.0
    moved = CHANGES["translation"](x, everybody(count))
    assert set(moved[:200].unique().tolist()) == {0.0, 1.0, 2.0}
    mark = (moved[:, 0] == 2).nonzero()
    for shifts, greatest in ((mark[:, 1] - height // 2, down), (mark[:, 2] - width // 2, right)):
        assert (shifts.min().item(), shifts.max().item()) == (-greatest, greatest)
        shares = torch.bincount(shifts + greatest) / count
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / (2 * greatest + 1)), atol=0.02, rtol=0)
    rows = moved[:, 0].amax(2) > 0
    assert set(rows.sum(1).tolist()) == set(range(height - down, height + 1))


@pytest.mark.parametrize(("side", "least", "most"), [(32, 8, 16), (8, 2, 4), (7, 2, 4), (10, 3, 5), (9, 3, 5)])
def test_cutout_is_centred_anywhere_and_cut_off_by_the_border(side: int, least: int, most: int) -> None:
    """DiffAugment's law: int(side / 2 + 1/2) pixels around any pixel, or any border of two where that is even."""
    torch.manual_seed(0)
    x = torch.ones(8000, 2, side, side)
    hidden = CHANGES["cutout"](x, everybody(8000)) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None, :])
    places = side + 1 - most % 2
    expected = torch.zeros(side)
    for centre in range(places):
        expected[max(0, centre - most // 2) : centre - most // 2 + most] += 1 / places
    for along in (rows, columns):
        assert (along.sum(1).min().item(), along.sum(1).max().item()) == (least, most)
        torch.testing.assert_close(along.double().mean(0).float(), expected, atol=0.03, rtol=0)
    if side == 32:  # of an image 1/16 to 1/4, and 18.7 % on average
        assert hidden[:, 0].double().mean().item() == pytest.approx((sum(expected.tolist()) / side) ** 2, abs=0.005)
        assert hidden[:, 0].double().mean().item() == pytest.approx(0.187, abs=0.005)


def test_colours_have_one_brightness_saturation_and_contrast_an_image() -> None:
    """x is a mean m, what each pixel's gray g differs from it by, and what the channels differ from g by: m is moved by up
    to 1/4, the second multiplied by 1/2 to 3/2, and the third by that and by 0 to 2, each evenly spread."""
    torch.manual_seed(0)
    x = torch.rand(20_000, 3, 2, 2, dtype=torch.float64)
    changed = CHANGES["colour"](x, everybody(20_000))

    def parts(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gray = x.mean(1, keepdim=True)
        mean = gray.mean((2, 3), keepdim=True)
        return mean, gray - mean, x - gray

    (m, g, c), (m_new, g_new, c_new) = parts(x), parts(changed)
    brightness = (m_new - m).flatten()
    contrast, saturation = (g_new / g).flatten(1), (c_new / c).flatten(1)
    assert (contrast.amax(1) - contrast.amin(1)).median() < 1e-9  # one factor for all pixels
    contrast = contrast.median(1).values
    saturation = saturation.median(1).values / contrast
    for drawn, low, high in ((brightness, -0.25, 0.25), (contrast, 0.5, 1.5), (saturation, 0.0, 2.0)):
        assert (drawn.min().item(), drawn.max().item()) == pytest.approx((low, high), abs=0.002)
        width = high - low
        assert drawn.mean().item() == pytest.approx((low + high) / 2, abs=0.01 * width)
        assert drawn.std().item() == pytest.approx(width / 12**0.5, rel=0.02)  # of a uniform law
    drawn = torch.stack([brightness, contrast, saturation])
    assert (torch.corrcoef(drawn) - torch.eye(3)).abs().max() < 0.03  # none of which knows of another


def test_two_fifths_are_turned_left_to_right() -> None:
    torch.manual_seed(0)
    x = torch.arange(12.0).view(1, 1, 3, 4).expand(5000, 2, 3, 4)
    turned = CHANGES["flip"](x, everybody(5000))
    mirrored = (turned == x[..., [3, 2, 1, 0]]).flatten(1).all(1)
    assert torch.equal(mirrored, ~(turned == x).flatten(1).all(1))
    assert mirrored.double().mean().item() == pytest.approx(0.4, abs=0.03)


def test_what_augmentation_leaves_of_each_statistic_of_x_by_side() -> None:
    """1 - p + p m, the factor of a statistic under a change, is above 0 whatever the side, at the probabilities in use."""
    p = max(Augmentation().probability, PROBABILITY)
    for side in range(8, 129):
        s = pixels_of_share(SHIFT_SHARE, side)
        apart = torch.arange(side)[:, None] - torch.arange(side)
        shifted = (apart.abs() <= s).double() / (
            2 * s + 1
        )  # of one axis: a shift by each of -s ... s, and what left is lost
        m = torch.linalg.eigvalsh(shifted)
        least = min(m[0].item(), (m[0] * m[-1]).item())
        assert least > -1 / 3
        assert 1 - p + p * least > 0.06
        wave = torch.linspace(0, torch.pi, 2001, dtype=torch.float64)[:, None] * torch.arange(-s, s + 1)
        assert 1 - p + p * wave.cos().mean(1).min() > 0.06  # on an image without borders
    hidden = 1 - 0.75 + 0.75 * (1 + 2 * math.cos(math.pi)) / 3
    assert abs(hidden) < 1e-12  # at 3/4 a shift of one pixel hides what alternates from pixel to pixel


def test_what_augmentation_leaves_of_brightness_contrast_and_saturation() -> None:
    """abs(1 - p + p m) with m = E[e^(itb)] E[c^(is)] E[c'^(is')], over all waves and powers: single-channel images have s'
    = 0."""
    p = max(Augmentation().probability, PROBABILITY)
    power = torch.linspace(-60, 60, 401, dtype=torch.float64) * 1j
    (low, high), top = (1 - CONTRAST, 1 + CONTRAST), 1 + SATURATION
    contrast = (torch.pow(high, 1 + power) - torch.pow(low, 1 + power)) / ((1 + power) * (high - low))
    saturation = torch.pow(top, power) / (1 + power)
    together = contrast[:, None] * saturation
    for wave in torch.linspace(-0.2173, 1, 21):  # sin(t) / t is never less
        assert (1 - p + p * float(wave) * together).abs().min() > 0.14
    assert 1 - p + p * (1 - 2 * FLIP_SHARE) > 0
    assert 1 - p > 0  # where the hole of a cutout always meets the pixels


def test_two_images_of_one_sample_keep_their_colours_apart() -> None:
    """A pair of gray images, x and its round trip, is no image of two channels whose saturation could be taken away."""
    torch.manual_seed(0)
    x = torch.rand(50, 1, 4, 4, dtype=torch.float64)
    a, b = Augmentation(policy="colour", probability=1.0)((x, x.flip(2)))
    torch.testing.assert_close(a, b.flip(2))
    factor = (a - a.mean((1, 2, 3), keepdim=True)) / (x - x.mean((1, 2, 3), keepdim=True))
    assert (factor.flatten(1).std(1) < 1e-9).all()  # contrast alone


@pytest.mark.parametrize("name", CHANGES)
def test_an_image_and_its_mirror_image_stay_two_laws(name: str) -> None:
    """A change whose law cannot be undone would let samples be mirrored and turned into one another unseen."""
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 8, 8)
    x[..., 1:7, 1:4] = 0.9
    change = Augmentation(policy=name)
    one, other = (change((image.expand(20_000, -1, -1, -1),))[0].mean(0) for image in (x, x.flip(3)))
    assert (one - other).abs().max() > 0.1


def test_data_and_samples_are_changed_by_one_law_and_z_not_at_all() -> None:
    torch.manual_seed(0)
    augment = Augmentation()
    x, z = pictures(4000), torch.randn(4000, 3)
    (first, same), (second, _) = augment((x, z)), augment((x, z))
    assert same is z
    for statistic in (lambda a: a.mean((0, 1)), lambda a: a.square().mean((0, 1)), lambda a: a.mean((1, 2, 3)).std()):
        torch.testing.assert_close(statistic(first), statistic(second), atol=0.05, rtol=0)
    assert not torch.equal(first, second)


def test_the_images_of_one_sample_are_changed_together() -> None:
    torch.manual_seed(0)
    x = pictures()
    a, b = Augmentation()((x, x.clone()))
    assert torch.equal(a, b)
    assert not torch.equal(a, x)


@pytest.mark.parametrize("game", IMAGES)
def test_the_critic_alone_sees_changed_images_and_only_in_training(game: str) -> None:
    """The task of encoder and decoder stays: they are given what they are given without augmentation."""
    shown: dict[str, list[Tensor]] = {}
    for augmented in (False, True):
        made = build(game, CONV)
        made.noise = Augmentation(policy="cutout") if augmented else None
        for name in ("encoder", "decoder"):
            if isinstance(network := getattr(made, name, None), nn.Module):
                network.register_forward_pre_hook(
                    lambda _, given, key=f"{name}{augmented}": shown.setdefault(key, []).append(given[0].detach())
                )
        torch.manual_seed(1)
        joints = made.sample(*batch(made))
        torch.manual_seed(2)
        scores = list(made.losses(joints).scores.values())
        made.eval()
        torch.manual_seed(2)
        held = list(made.losses(joints).scores.values())
        if not augmented:
            plain, plain_held = scores, held
    for name in ("encoder", "decoder"):
        for a, b in zip(shown.get(f"{name}False", []), shown.get(f"{name}True", []), strict=True):
            assert torch.equal(a, b)
    assert not all(torch.equal(a, b) for a, b in zip(plain, scores, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain_held, held, strict=True))


def test_adaptation_follows_the_critic_and_is_remembered() -> None:
    augment = AdaptiveAugmentation(images=1000)
    sure, unsure = (torch.ones(100), torch.zeros(100)), (torch.zeros(100), torch.zeros(100))
    for _ in range(5):
        augment.observe(*sure, images=100)
    assert augment.probability == pytest.approx(0.5)
    other = AdaptiveAugmentation(images=1000)
    other.load_state_dict(augment.state_dict())
    assert other.probability == augment.probability
    for _ in range(9):
        augment.observe(*sure, images=100)
    assert augment.probability == pytest.approx(0.7)  # not further
    for _ in range(20):
        augment.observe(*unsure, images=100)
    assert augment.probability == 0.0
    x = pictures()
    assert torch.equal(augment((x,))[0], x)


def test_several_disturbances_come_in_turn() -> None:
    both = Disturbances([Augmentation(policy="cutout", probability=1.0), InstanceNoise(std=0.5)])
    torch.manual_seed(0)
    (changed,) = both((torch.ones(200, 1, 8, 8),))
    cut = (28 / 72) ** 2  # 4 rows of 8 around each of 9 places, of which 8 of 36 lie outside; columns alike
    assert (changed < 0.5).double().mean().item() == pytest.approx(cut * 0.84 + (1 - cut) * 0.16, abs=0.02)
    both.set_progress(10, 10)
    assert set(both((torch.ones(4, 1, 8, 8),))[0].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("fixed", {"policy": "blur"}, "a list of colour, translation"),
        ("fixed", {"probability": 1.5}, r"lies in \[0, 1\]"),
        ("adaptive", {"target": 1.0}, "`target` is 1.0"),
        ("adaptive", {"images": 0}, "`images` is 0"),
    ],
)
def test_settings_of_augmentations_are_checked(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        AUGMENTATIONS[name](**settings)


@pytest.mark.parametrize(
    ("p", "q", "area"),
    [
        ([1, 2], [0, 0], 1.0),
        ([0, 0], [1, 2], 0.0),
        ([1, 1], [1, 1], 0.5),
        ([0, 2], [1, 1], 0.5),
        ([1, 3], [0, 2], 0.75),
    ],
)
def test_auc_is_the_area_under_the_curve(p: list[float], q: list[float], area: float) -> None:
    from sklearn.metrics import roc_auc_score

    assert auc(torch.tensor(p, dtype=torch.float), torch.tensor(q, dtype=torch.float)) == area
    assert roc_auc_score([1] * len(p) + [0] * len(q), p + q) == area


# ---- packs


def test_a_pack_shows_its_samples_beside_each_other() -> None:
    seen: list[tuple[Tensor, ...]] = []

    class Look(nn.Module):
        def forward(self, x: Tensor, z: Tensor) -> Tensor:
            seen.append((x, z))
            return x.flatten(1).sum(1)

    x, z = pictures(6, 2), torch.randn(6, 3)
    scores = PackedCritic(Look(), 3)(x, z)
    assert torch.allclose(scores, x.flatten(1).sum(1).view(2, 3).sum(1))
    assert [part.shape for part in seen[0]] == [(2, 6, 16, 12), (2, 9)]
    assert torch.equal(seen[0][0][1, 2:4], x[4])
    assert torch.equal(seen[0][1][0, 6:], z[2])
    with pytest.raises(ValueError, match="7 samples are no whole number of packs of 3"):
        PackedCritic(Look(), 3)(torch.zeros(7, 2, 4, 4), torch.zeros(7, 3))


@pytest.mark.parametrize("penalty", [R1, R1R2])
def test_penalties_on_packs_are_those_of_the_pack_as_one_input(penalty: Any) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    p, q = torch.randn(12, 2, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    packed = penalty().penalize(PackedCritic(critic, 3), (p,), (q,))
    assert torch.allclose(packed, penalty().penalize(critic, (p.view(4, 6),), (q.view(4, 6),)))
    assert squared_gradients(PackedCritic(critic, 3), (p,)).shape == (4,)


@pytest.mark.parametrize("game", [name for name, member in REGISTRY.items() if packs(member)])
@pytest.mark.parametrize("pack", [2, 3, 4])
def test_games_play_with_packs(game: str, pack: int) -> None:
    made = build(game, CONV, pack=pack, batch_size=24)
    outcome = made(*batch(made, 24))
    count = 24
    assert next(iter(outcome.scores.values())).shape == (count // pack,)
    for player in made.players:
        gradients = torch.autograd.grad(outcome.losses[player], made.parameters_of(player), retain_graph=True)
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_run_in_packs_of_three_is_looked_at_on_the_way(tmp_path: Any) -> None:
    import interalia

    run = runs.Run(
        data="digits",
        latent_dim=4,
        networks="auto(width=2)",
        steps=2,
        batch_size=48,
        pack=3,
        augment="adaptive",
        evaluate_every=1,
    )
    done = interalia.train(run, out=tmp_path / "run")
    assert done.folder is not None
    assert sum("health/critic_auc" in line for line in done.folder.log_lines()) == 2


@pytest.mark.parametrize("game", ["infogan", "vae-gan", "semi-ali", "vae", "cyclegan"])
def test_games_that_cannot_play_with_packs_say_who_can(game: str) -> None:
    with pytest.raises(UserError, match=r"does not support packs of samples; .*choose a game of: ALI, ALICE"):
        build(game, CONV, pack=2)


@pytest.mark.parametrize(("flag", "value"), [("instance_noise", "constant"), ("augment", "fixed")])
def test_a_ratio_that_is_read_off_the_critic_is_one_of_images_as_they_are(flag: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"AVB computes .* `{flag}` has changed .*; leave `{flag}` out"):
        build("avb", CONV, **{flag: value})


# ---- spectral norm


@pytest.mark.parametrize("network", ["critic", "encoder", "decoder"])
def test_spectral_norm_divides_every_layer_by_its_greatest_singular_value(network: str) -> None:
    made = build("ali", CONV, spectral_norm=network)
    for _ in range(100):  # each look is one step of power iteration
        made(*batch(made))
    made.eval()
    layers = [m for m in getattr(made, network).modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    assert layers
    for layer in layers:
        weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)
    others = {"critic", "encoder", "decoder"} - {network}
    assert not any("parametrizations" in key for name in others for key in getattr(made, name).state_dict())


def test_spectral_norm_of_a_network_that_is_not_there() -> None:
    with pytest.raises(
        UserError, match=r"`spectral_norm` names 'generator', and the networks of this run are: encoder"
    ):
        build("ali", CONV, spectral_norm="generator")
    with pytest.raises(
        UserError, match=r"`spectral_norm` names 'critic', and the networks of this run are: encoder, decoder;"
    ):
        build("vae", CONV, spectral_norm="critic")
    with pytest.raises(
        UserError, match=r"`spectral_norm` names 'decoder', and the networks of this run are: encoder, critic;"
    ):
        build("posthoc-ali", CONV, spectral_norm="decoder")
    once, twice = build("ali", CONV, spectral_norm="critic"), build("ali", CONV, spectral_norm="critic, critic")
    assert set(once.state_dict()) == set(twice.state_dict())


def test_stabilisers_survive_saving(tmp_path: Any) -> None:
    import interalia
    from interalia import tasks
    from interalia.training import engine

    run = runs.Run(
        data="digits", game="ali", latent_dim=4, networks="auto(width=2)", steps=4, batch_size=32, pack=2,
        augment="adaptive(images=100)", spectral_norm="critic,decoder", instance_noise="annealed", evaluate_every=0,
    )  # fmt: skip
    training = engine.open_run(run, tmp_path / "run")
    done = engine.finish(training)
    assert float(training.state_dict()["memory"]["augmentation"]) == training.game.noise.disturbances[0].probability  # type: ignore[union-attr]
    again = interalia.load(tmp_path / "run")
    z = tasks.sample_latents(done.game, 5, 0)
    assert torch.equal(tasks.decode(done.game, z), tasks.decode(again.game, z))
    further = copy.copy(run).replace(steps=6)
    assert engine.train(further, tmp_path / "run", resume=True).step == 6
