"""The ways to infer: what each of them is a special case of, who moves whom, and what is refused in one sentence."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import examples
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from interalia import cli, tasks
from interalia.conditionals import Chain, Deterministic, Gaussian, StandardNormal
from interalia.data import load
from interalia.errors import UserError
from interalia.games import (
    AAE,
    ALI,
    ALICE,
    HALI,
    VAE,
    VAEGAN,
    AdversarialALICE,
    LatentRegressor,
    PostHocALI,
    SemiAAE,
    SemiALI,
)  # fmt: skip
from interalia.networks.layers import PairCritic
from interalia.networks.mlp import MLP
from interalia.runs import Run, building, loading, recipes
from interalia.training import engine

SHORT = {"data": "digits", "networks": "auto(width=4)", "evaluate_every": 0}


def program(*words: object) -> int:
    try:
        cli.main([str(word) for word in words])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def outcomes(game: nn.Module, *batch: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(game(*batch).losses)


def test_alice_without_weights_is_ali() -> None:
    game = examples.build("alice(cycle=0.0)")
    assert isinstance(game, ALICE)
    ali = ALI(game.encoder, game.decoder, game.critic, game.prior)
    game.decoder.eval()  # its batch norm sees the round trip's latents too
    x = torch.rand(16, 1, 4, 4).double()
    for player, loss in outcomes(ali, x).items():
        torch.testing.assert_close(outcomes(game, x)[player], loss)


def test_alices_way_back_from_z() -> None:
    game = examples.build("alice(cycle=0.0, cycle_z=2.0)")
    x = torch.rand(16, 1, 4, 4).double()
    joints = game.sample(x)
    z_back, z = joints["cycle_z"]
    assert z is joints["p"][1]
    without = ALI.losses(game, joints).losses  # type: ignore[arg-type]
    torch.testing.assert_close(
        game.losses(joints).losses["generator"], without["generator"] + 2 * (z_back - z).square().mean()
    )


def test_adversarial_alice_without_weight_is_ali() -> None:
    game = examples.build("alice-adversarial(weight=0.0)")
    assert isinstance(game, AdversarialALICE)
    x = torch.rand(16, 1, 4, 4).double()
    joints = game.sample(x)
    assert joints["same"][0] is joints["same"][1]
    for player, loss in ALI.losses(game, joints).losses.items():  # type: ignore[arg-type]
        torch.testing.assert_close(game.losses(joints).losses[player], loss)
    game.weight = 1.0
    assert game.losses(joints).losses["generator"] != ALI.losses(game, joints).losses["generator"]  # type: ignore[arg-type]


FIRST = {  # the layers at which y, the last of its inputs, enters the networks of `auto`
    examples.FLAT: ["encoder.network.body.0", "decoder.network.body.0", "critic.joint.body.0"],
    examples.CONV: ["encoder.network.body.0", "decoder.network.body.0.0", "critic.z.0"],
}


def absorbed(layer: nn.Linear, y: Tensor) -> nn.Linear:
    """W [h, y] + b for a y that never changes, as a layer of h alone, whose bias is b + W_y y."""
    known = layer.in_features - len(y)
    made = nn.Linear(known, layer.out_features).double()
    made.weight.data, weight_y = layer.weight.data.split([known, len(y)], dim=1)
    made.bias.data = weight_y @ y + (0 if layer.bias is None else layer.bias.data)
    return made


@pytest.mark.parametrize("name", ["ali", "alice(cycle=2.0, cycle_z=3.0)"])
@pytest.mark.parametrize("shape", FIRST)
def test_with_one_class_a_conditional_game_is_the_plain_one(name: str, shape: tuple[int, ...]) -> None:
    """A label that is always the same adds a constant to three first layers: with biases moved so, nothing differs."""
    conditional = examples.build(name, shape, labels=3).eval()  # a batch norm would take the constant away in any case
    one = torch.eye(3).double()[1]
    plain = copy.deepcopy(conditional)
    for path in FIRST[shape]:
        parent, key = path.rsplit(".", 1)
        plain.get_submodule(parent)[int(key)] = absorbed(conditional.get_submodule(path), one)  # type: ignore[arg-type, operator]
    if plain.encoder.network.input_shape:
        plain.encoder.network.input_shape = (math.prod(shape),)  # type: ignore[assignment]
    x = torch.rand(8, *shape).double()
    expected = outcomes(plain, x)
    for y, equal in ((one, True), (one.roll(1), False)):
        losses = outcomes(conditional, x, y.expand(8, -1))
        for player, loss in expected.items():
            assert torch.isclose(losses[player], loss, atol=1e-12, rtol=0) == equal


@pytest.mark.parametrize("networks", ["auto(width=4)", "bigan-mlp(width=16)", "ali-28"])
def test_all_three_networks_hear_the_label(networks: str) -> None:
    shape = (1, 28, 28)
    run = Run(game="ali", condition_on="labels", latent_dim=4, networks=networks)
    torch.manual_seed(0)
    game = building.build(run, shape, labels=3)
    x, z = torch.rand(4, *shape), torch.randn(4, 4)
    one = torch.eye(3)[[0, 1, 2, 0]]  # a batch of one label would be all the same to a batch norm
    two = one.flip(0)
    for answer in (
        lambda y: game.encoder(x, y).mean,
        lambda y: game.decoder(z, y).mean,
        lambda y: game.critic.eval()(x, z, y),  # without dropout
    ):
        assert not torch.equal(answer(one), answer(two))


def test_hali_with_an_identity_level_is_ali() -> None:
    class Both(nn.Module):
        def __init__(self, critic: nn.Module) -> None:
            super().__init__()
            self.critic = critic

        def forward(self, x: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
            score: Tensor = self.critic(x, z2)
            return score

    torch.manual_seed(0)
    encoder, decoder = Gaussian(MLP(2, 6, width=8)), Deterministic(MLP(3, 2, width=8))
    critic = PairCritic(MLP(5, 1, width=8))
    ali = ALI(encoder, decoder, critic, StandardNormal(3))
    identity = Deterministic(nn.Identity())
    hali = HALI(Chain(encoder, identity), Chain(identity, decoder), Both(critic), StandardNormal(3), lower=3)
    x = torch.randn(8, 2)
    for player in ali.players:
        losses = []
        for game in (ali, hali):
            torch.manual_seed(1)
            eps, z = torch.randn(8, 3), torch.randn(8, 3)
            q = (encoder(x).base_dist.loc + eps * encoder(x).base_dist.scale,)
            joints = {
                "q": (x, *q * (1 if game is ali else 2)),
                "p": (decoder(z).mean, *(z,) * (1 if game is ali else 2)),
            }
            losses.append(game.losses(joints).losses[player])
        torch.testing.assert_close(*losses)
    drawn = hali.sample(x)
    assert torch.equal(drawn["q"][1], drawn["q"][2])
    torch.testing.assert_close(drawn["p"][0], decoder(drawn["p"][1]).mean)


def test_halis_levels() -> None:
    game = examples.build("hali(lower=5)", double=False).eval()
    x = torch.rand(4, 1, 4, 4)
    assert tasks.encode(game, x).shape == (4, 3)
    z1 = tasks.encode(game, x, level="lower")
    assert z1.shape == (4, 5)
    assert torch.equal(tasks.reconstruct(game, x, level="lower"), tasks.decode(game, z1, level="lower"))
    assert not torch.equal(tasks.reconstruct(game, x, level="lower"), tasks.reconstruct(game, x))
    way = tasks.interpolate(game, x, x.flip(0), steps=3, level="lower")
    torch.testing.assert_close(way[:, 0], tasks.reconstruct(game, x, level="lower"))
    with pytest.raises(UserError, match="ALI has one level of latents"):
        tasks.encode(examples.build("ali", double=False), x, level="lower")


def test_the_latent_regressor_of_a_linear_generator_is_its_pseudo_inverse() -> None:
    torch.manual_seed(0)
    a = nn.Linear(2, 5, bias=False).double()
    encoder = nn.Linear(5, 2, bias=False).double()
    game = LatentRegressor(Deterministic(encoder), Deterministic(a), StandardNormal(2).double())
    optimizer = torch.optim.LBFGS(encoder.parameters(), max_iter=200, tolerance_grad=1e-12)
    z = torch.randn(500, 2).double()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = game.losses({"model": (a(z), z)}).losses["regressor"]
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    torch.testing.assert_close(encoder.weight @ a.weight, torch.eye(2).double(), atol=1e-5, rtol=0)
    on_range = a.weight @ torch.linalg.pinv(a.weight)  # what lies outside of G's range was never seen
    torch.testing.assert_close(encoder.weight @ on_range, torch.linalg.pinv(a.weight), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["latent-regressor", "posthoc-ali"])
def test_a_post_hoc_game_leaves_the_generator_bit_identical(name: str, tmp_path: Path) -> None:
    gan = engine.train(Run(game="gan", latent_dim=4, steps=3, **SHORT), tmp_path / "gan")  # type: ignore[arg-type]
    run = Run(game=name, latent_dim=4, steps=4, pretrained_generator=str(tmp_path / "gan"), recalibrate_bn=3, **SHORT)  # type: ignore[arg-type]
    trained = engine.train(run, tmp_path / "run")
    assert isinstance(trained.game, LatentRegressor | PostHocALI)
    kept = gan.game.decoder.state_dict()
    assert any("running_mean" in key for key in kept)
    for key, value in trained.game.decoder.state_dict().items():
        assert torch.equal(value, kept[key]), key
    again = loading.load(tmp_path / "run")
    z = torch.randn(3, 4)
    assert torch.equal(tasks.decode(again.game, z), tasks.decode(gan.game, z))
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(tasks.encode(again.game, x), tasks.encode(trained.game, x))


def test_a_users_generator_is_a_module_or_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = examples.generator(4, (1, 8, 8))
    run = Run(game="posthoc-ali", latent_dim=4, steps=2, **SHORT)  # type: ignore[arg-type]
    engine.train(run, tmp_path / "module", generator=module)
    z = torch.randn(3, 4)
    loaded = loading.load(tmp_path / "module", generator=examples.generator(4, (1, 8, 8)))
    torch.testing.assert_close(tasks.decode(loaded.game, z), module(z))  # its weights are in the file
    exported = torch.export.export(module, (z,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    torch.export.save(exported, tmp_path / "generator.pt2")
    trained = engine.train(
        run.replace(pretrained_generator=str(tmp_path / "generator.pt2")), tmp_path / "file", trust=True
    )
    torch.testing.assert_close(tasks.decode(trained.game, z), module(z))
    loaded = loading.load(tmp_path / "file", trust=True)
    assert tasks.reconstruct(loaded.game, torch.rand(2, 1, 8, 8)).shape == (2, 1, 8, 8)


def test_a_generator_that_does_not_fit_is_explained(tmp_path: Path) -> None:
    run = Run(game="posthoc-ali", latent_dim=4, **SHORT)  # type: ignore[arg-type]
    engine.train(Run(game="gan", latent_dim=3, steps=1, **SHORT), tmp_path / "gan")  # type: ignore[arg-type]
    for changes, words in (
        ({}, "give as `pretrained_generator` the folder of its run, or a .pt2 file"),
        ({"pretrained_generator": str(tmp_path / "gan")}, "was trained with 3 latents .* give `latent_dim=3`"),
        ({"pretrained_generator": str(tmp_path / "no.pt2")}, "there is no generator"),
        ({"pretrained_generator": str(tmp_path / "nowhere")}, "is not the folder of a run"),
        ({"game": "ali", "pretrained_generator": str(tmp_path / "gan")}, "ALI trains its decoder itself"),
    ):
        with pytest.raises(UserError, match=words):
            building.build(run.replace(**changes))
    with pytest.raises(UserError, match=r"does not accept z of 4 dimensions .* give the size of its z in `latent_dim`"):
        building.build(run, generator=examples.generator(7, (1, 8, 8)))
    with pytest.raises(UserError, match=r"returns images of shape \(1, 4, 4\), and the data have \(1, 8, 8\)"):
        building.build(run, generator=examples.generator(4, (1, 4, 4)))
    (tmp_path / "bad.pt2").write_text("no")
    with pytest.raises(UserError, match=r"is not a program of torch\.export"):
        building.build(run.replace(pretrained_generator=str(tmp_path / "bad.pt2")), trust=True)


def test_the_k_plus_1_loss_is_that_of_plain_torch() -> None:
    game = examples.build("semi-ali(label_weight=0.5)")
    assert isinstance(game, SemiALI)
    x, x_l, y = examples.batch(game)
    joints = game.sample(x, x_l, y)

    def all_logits(pair: tuple[Tensor, ...]) -> Tensor:
        logits: Tensor = game.critic.logits(*pair[:2])  # type: ignore[operator]
        return torch.cat([logits, torch.zeros(len(logits), 1).double()], dim=1)  # the last class: decoded

    log_q, log_p = (all_logits(joints[name]).log_softmax(1) for name in ("q", "p"))
    encoded = log_q[:, :-1].logsumexp(1)  # log P(any of 1 .. K)
    expected = -encoded.mean() - log_p[:, -1].mean()
    labelled = cross_entropy(all_logits(joints["labeled"])[:, :-1], y.argmax(1))
    losses = game.losses(joints).losses
    torch.testing.assert_close(losses["critic"], expected + 0.5 * labelled)
    fooled = -log_q[:, -1].mean() - log_p[:, :-1].logsumexp(1).mean()
    torch.testing.assert_close(losses["generator"], fooled)


def test_virtual_adversarial_training_finds_the_change_that_moves_the_labels_most() -> None:
    game = examples.build("semi-ali(vat=2.0, radius=0.3)")
    assert isinstance(game, SemiALI)
    x, x_l, y = examples.batch(game)
    joints = game.sample(x, x_l, y)
    pair = joints["q"]
    logits = game.critic.logits(*pair)  # type: ignore[operator]
    torch.manual_seed(0)
    charge = game.vat_loss(*pair, logits)
    least = charge.item()
    for _ in range(20):  # no change drawn at random does as much
        r = torch.randn_like(x)
        r = 0.3 * r / r.flatten(1).norm(dim=1).view(-1, *[1] * (x.ndim - 1))
        other = game.critic.logits(pair[0] + r, pair[1]).log_softmax(1)  # type: ignore[operator]
        p = logits.softmax(1)
        assert (p * (logits.log_softmax(1) - other)).sum(1).mean().item() < least
    torch.manual_seed(0)
    losses = game.losses(joints).losses
    torch.manual_seed(0)
    without = SemiALI(game.encoder, game.decoder, game.critic, game.prior)
    plain = without.losses(joints).losses
    torch.testing.assert_close(losses["critic"], plain["critic"] + 2.0 * charge)
    torch.testing.assert_close(losses["generator"], plain["generator"])
    charge.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in game.encoder.parameters())
    game.eval()  # an evaluation charges nothing for it
    torch.testing.assert_close(game.losses(joints).losses["critic"], without.losses(joints).losses["critic"])


def test_only_the_labelled_images_labels_are_looked_at() -> None:
    run = Run(game="semi-ali", num_labeled=20, steps=1, batch_size=64, **SHORT)  # type: ignore[arg-type]
    training = engine.prepare(run)
    store = training.stores[1]
    assert len(store) == 20
    assert store.conditions is not None
    assert torch.bincount(store.conditions).tolist() == [2] * 10
    batch = next(training.batches)
    assert [len(part) for part in batch] == [64, 20, 20]
    other = engine.prepare(run.replace(seed=1)).stores[1]
    assert not np.array_equal(np.asarray(store.split.x), np.asarray(other.split.x))
    for count, words in ((5, "must be a multiple of 10"), (25, "must be a multiple of 10"), (20_000, "there are")):
        with pytest.raises(UserError, match=words):
            engine.prepare(run.replace(num_labeled=count))


def test_the_semi_supervised_autoencoder() -> None:
    game = examples.build("semi-aae(weight=0.0, label_weight=1.0)")
    assert isinstance(game, SemiAAE)
    x, x_l, y = examples.batch(game)
    joints = game.sample(x, x_l, y)
    read = joints["labeled"][0][:, -3:]
    torch.testing.assert_close(read.sum(1), torch.ones(len(read)).double())  # a softmax
    loss = game.losses(joints).losses["autoencoder"]
    free = SemiAAE(game.encoder, game.decoder, game.critic, game.prior, weight=0.0, label_weight=0.0)
    expected = -(y * read.log()).sum(1).mean()
    torch.testing.assert_close(loss, free.losses(joints).losses["autoencoder"] + expected)
    with pytest.raises(UserError, match="needs a prior of style and one category"):
        examples.build("semi-aae", prior="normal")
    with pytest.raises(UserError, match="have 3 labels, and the prior's category has"):
        examples.build("semi-aae", prior="codes(categorical=[2], uniform=0)")


def test_the_autoencoders_losses() -> None:
    game = examples.build("aae(weight=3.0)")
    assert isinstance(game, AAE)
    joints = game.sample(*examples.batch(game))
    (z,), (z_hat,), (x_hat, x) = joints["prior"], joints["posterior"], joints["cycle"]
    losses = game.losses(joints).losses
    d, d_hat = game.critic(z).sigmoid(), game.critic(z_hat).sigmoid()
    torch.testing.assert_close(losses["critic"], -(d.log() + (1 - d_hat).log()).mean())
    autoencoder = 3 * (x - x_hat).square().mean()
    gradient = torch.autograd.grad(losses["autoencoder"], game.parameters_of("autoencoder"), retain_graph=True)
    expected = torch.autograd.grad(autoencoder - d_hat.log().mean(), game.parameters_of("autoencoder"))
    for ours, theirs in zip(gradient, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vae_gan_charges_each_player_for_its_own_line() -> None:
    game = examples.build("vae-gan(feature=2.0, gamma=0.5)")
    assert isinstance(game, VAEGAN)
    (x,) = examples.batch(game)
    torch.manual_seed(1)
    joints = game.sample(x)
    losses = game.losses(joints).losses
    (x_hat,), (x_tilde,), (mu, sigma) = joints["reconstruction"], joints["model"], joints["posterior"]
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mu, sigma), normal(torch.zeros_like(mu), 1)).sum(1).mean()
    feature = (game.critic.features(x_hat)[0] - game.critic.features(x)[0]).square().sum(1).mean() / 2  # type: ignore[operator]
    torch.testing.assert_close(losses["encoder"], kl + 2 * feature)
    # the well-known leak: the feature distance must not train the critic, nor the critic's loss the decoder
    moves = examples_flow(game)
    torch.manual_seed(1)
    moves.gradients(iter([(x,)]), "critic")
    assert all(p.grad is None for name in ("encoder", "decoder") for p in game.parameters_of(name))
    critic = torch.nn.functional.softplus
    scores = [game.critic(part) for part in (x, x_hat, x_tilde)]
    own = critic(-scores[0]).mean() + (critic(scores[1]).mean() + critic(scores[2]).mean()) / 2
    torch.testing.assert_close(losses["critic"], own)


def examples_flow(game: nn.Module):  # type: ignore[no-untyped-def]
    from interalia.learning import dynamics

    optimizers = {player: torch.optim.SGD(game.parameters_of(player), lr=0.1) for player in game.players}  # type: ignore[operator, union-attr]
    return dynamics.Simultaneous(game, optimizers)  # type: ignore[arg-type]


def test_projection_finds_what_a_linear_generator_made() -> None:
    torch.manual_seed(0)
    game = examples.build("gan", shape=(6,), double=False)
    linear = nn.Linear(3, 6)
    game.decoder = Deterministic(linear)
    z = torch.randn(5, 3)
    x = linear(z).detach()
    found = tasks.project(game, x, refine_steps=400, refine_lr=0.1)
    torch.testing.assert_close(found, z, atol=1e-2, rtol=0)
    assert all(p.requires_grad for p in linear.parameters())
    mask = torch.ones(6)
    mask[3:] = 0
    torch.testing.assert_close(
        tasks.project(game, x * mask, refine_steps=600, refine_lr=0.1, mask=mask), z, atol=5e-2, rtol=0
    )
    torch.testing.assert_close(
        tasks.project(game, x[:1], refine_steps=400, refine_lr=0.1, start=found[:1]), z[:1], atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("name", ["ali", "gan", "hali"])
def test_completion_keeps_what_is_known_and_does_not_look_at_the_rest(name: str) -> None:
    game = examples.build(name, (1, 8, 8), double=False)
    x = torch.rand(3, 1, 8, 8)
    mask = torch.ones(1, 8, 8)
    mask[:, :, 5:] = 0
    filled = tasks.complete(game, x, mask, refine_steps=5)
    assert torch.equal(filled[..., :5], x[..., :5])
    spoilt = x.clone()
    spoilt[..., 5:] = math.nan
    assert torch.equal(tasks.complete(game, spoilt, mask, refine_steps=5), filled)
    faded = tasks.complete(game, x, mask, refine_steps=5, blend=2)
    assert torch.equal(faded[..., :3], x[..., :3])
    assert not torch.equal(faded[..., 4], x[..., 4])
    with pytest.raises(UserError, match="the mask has no known pixels"):
        tasks.complete(game, x, torch.zeros(1, 8, 8))
    with pytest.raises(UserError, match=r"the mask has the shape \(1, 5, 5\)"):
        tasks.complete(game, x, torch.ones(1, 5, 5))
    with pytest.raises(UserError, match="values other than 0 and 1"):
        tasks.complete(game, x, torch.full((1, 8, 8), 0.5))


def test_edits_keep_z_and_change_the_label() -> None:
    game = examples.build("ali", double=False, labels=3).eval()
    x, y = torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, 0])
    edited = tasks.single_edits(game, x, y)
    z = tasks.encode(game, x, y=y)
    assert edited.shape == (4, 3, 1, 4, 4)
    for label in range(3):
        torch.testing.assert_close(edited[:, label], tasks.decode(game, z, label=label))
        torch.testing.assert_close(edited[:, label], tasks.edit(game, x, y, torch.full((4,), label)))
    own = edited[torch.arange(4), y]
    torch.testing.assert_close(own, tasks.reconstruct(game, x, y=y))
    with pytest.raises(UserError, match="give the labels of the images"):
        tasks.encode(game, x)
    with pytest.raises(UserError, match="those of this game are from 0 to 2"):
        tasks.encode(game, x, y=torch.tensor([0, 1, 2, 3]))
    with pytest.raises(UserError, match="is unconditional; edit by label needs a game"):
        tasks.single_edits(examples.build("ali", double=False), x, y)


def test_a_direction_is_the_difference_of_means() -> None:
    game = examples.build("ali", double=False).eval()
    x = torch.rand(6, 1, 4, 4)
    has = torch.tensor([True, True, False, False, False, True])
    z = tasks.encode(game, x)
    way = tasks.direction(game, x, has)
    torch.testing.assert_close(way, z[has].mean(0) - z[~has].mean(0))
    moved = tasks.shift(game, x, way, [0.0, 1.0])
    torch.testing.assert_close(moved[:, 0], tasks.reconstruct(game, x))
    torch.testing.assert_close(moved[:, 1], tasks.decode(game, z + way))
    with pytest.raises(UserError, match="6 of 6 examples have the property"):
        tasks.direction(game, x, torch.ones(6, dtype=torch.bool))


def test_neighbours_are_the_nearest_in_z() -> None:
    game = examples.build("ali", double=False).eval()
    x, others = torch.rand(3, 1, 4, 4), torch.rand(20, 1, 4, 4)
    found = tasks.neighbours(game, x, others, 4)
    distances = torch.cdist(tasks.encode(game, x), tasks.encode(game, others))
    assert torch.equal(found, distances.argsort(1)[:, :4])
    with pytest.raises(UserError, match="from 1 to 20"):
        tasks.neighbours(game, x, others, 21)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ("--data", "digits", "--networks", "auto(width=4)", "--steps", 4, "--evaluate-every", 0, "--batch", 32)
    assert program("train", "cali-mnist", *short, "--out", tmp_path / "cali") == 0
    assert (tmp_path / "cali/figures/edits.png").is_file()
    assert program("edit", tmp_path / "cali", "--count", 3, "--to", "3,7") == 0
    assert "columns: the original, its reconstruction, 3, 7" in capsys.readouterr().out
    assert program("edit", tmp_path / "cali", "--count", 3, "--to", "") == 2
    assert "--to is empty" in capsys.readouterr().err
    assert program("edit", tmp_path / "cali", "--count", 3, "--scales", 1) == 2
    assert "are for unconditional games" in capsys.readouterr().err
    assert (tmp_path / "cali/figures/edited.png").is_file()
    assert program("reconstruct", tmp_path / "cali", "--count", 4) == 0
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), np.uint8))
    assert program("encode", tmp_path / "cali", tmp_path / "x.npy", "--told", "3,4", "--out", tmp_path / "z.npz") == 0
    assert program("encode", tmp_path / "cali", tmp_path / "x.npy", "--out", tmp_path / "z.npz") == 2
    assert "is conditional on labels; give the labels of the images (--condition)." in capsys.readouterr().err
    assert program("train", "semi-ali-mnist", *short, "--labelled", 50, "--out", tmp_path / "semi") == 0
    assert program("classify", tmp_path / "semi", "--count", 5, "--out", tmp_path / "labels.csv") == 0
    assert "accuracy: " in capsys.readouterr().out
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 6
    assert program("classify", tmp_path / "cali") == 2
    assert "ALICE has no classifier; classify needs a game that has one: SemiALI, SemiAAE." in capsys.readouterr().err
    assert program("train", "--data", "digits", "--game", "hali(lower=8)", *short[2:], "--out", tmp_path / "hali") == 0
    assert (tmp_path / "hali/figures/reconstructions_lower.png").is_file()
    assert "Reconstructions from the lower level" in (tmp_path / "hali/report.html").read_text()
    assert program("reconstruct", tmp_path / "hali", "--level", "lower") == 0
    assert program("interpolate", tmp_path / "hali", "--level", "lower") == 0
    assert program("reconstruct", tmp_path / "hali", "--project", 5, "--count", 4) == 0
    assert program("reconstruct", tmp_path / "hali", "--project", 5, "--level", "lower") == 2
    assert "--refine-steps refine z" in capsys.readouterr().err
    assert program("edit", tmp_path / "hali", "--to", "3", "--count", 2) == 0
    assert "-2 3, -1 3, +0 3, +1 3, +2 3" in capsys.readouterr().out
    assert program("edit", tmp_path / "hali", "--count", 2) == 2
    assert "give the label or attribute whose direction z moves along, with --to" in capsys.readouterr().err
    assert program("complete", tmp_path / "hali", "--mask", "left", "--steps", 3, "--count", 2) == 0
    assert program("complete", tmp_path / "hali", "--mask", "nowhere") == 2
    assert "there is no mask nowhere" in capsys.readouterr().err
    assert program("neighbours", tmp_path / "hali", "--count", 2, "--among", 50) == 0
    assert "neighbors with the same label" in capsys.readouterr().out
    assert program("train", "posthoc-ali-mnist", *short, "--latent", 32, "--generator", tmp_path / "hali") == 2
    assert "the same" in capsys.readouterr().err
    assert program("train", "cali-mnist", "--attributes", "Smiling", "--data", "digits", "--steps", 1) == 2


def test_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    found = load("digits")
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    values = {
        key: np.stack([part.y % 2, part.y > 4, part.y == 0], axis=1).astype(np.int8) for key, part in parts.items()
    }  # type: ignore[operator]
    values["names"] = np.array(["odd", "large", "zero"])
    faces = dataclasses.replace(found, attributes=values)
    monkeypatch.setattr("interalia.runs.loading.load_dataset", lambda run, folder: faces)
    run = recipes.ali_digits(condition_on="odd, large", steps=3, evaluate_every=0)
    trained = engine.train(run, tmp_path / "run")
    game = loading.load(tmp_path / "run").game
    assert list(game.data.attributes) == ["odd", "large"]
    assert game.data.attributes["odd"] == pytest.approx(values["train"][:, 0].mean())
    assert tasks.generate(trained.game, 4).shape == (4, 1, 8, 8)
    (drawn,) = tasks.sample_condition(game, 4000)
    assert drawn.mean(0).tolist() == pytest.approx(list(game.data.attributes.values()), abs=0.03)
    x, y = torch.rand(2, 1, 8, 8), torch.tensor([[1, 0], [0, 1]])
    edited = tasks.single_edits(game, x, y)
    torch.testing.assert_close(edited[0, 1], tasks.edit(game, x, y, torch.tensor([[1, 1], [0, 0]]))[0])
    for attributes, words in (("odd,smiling", "there is no attribute 'smiling'"), ("all", None)):
        if words:
            with pytest.raises(UserError, match=words):
                engine.prepare(run.replace(condition_on=attributes))
        else:
            assert engine.prepare(run.replace(condition_on=attributes)).game.data.condition == 3
    with pytest.raises(UserError, match="leave the label out"):
        tasks.generate(game, 2, label=1)
    with_both = tasks.generate(game, 3, 0, y=torch.tensor([[1, 1]]).expand(3, -1))
    assert torch.equal(with_both, tasks.decode(game, tasks.sample_latents(game, 3), y=torch.ones(3, 2)))
    assert program("generate", tmp_path / "run", "--told", "odd,large", "--count", 3, "--out", tmp_path / "x.npz") == 0
    np.testing.assert_allclose(np.load(tmp_path / "x.npz")["x"], with_both.numpy(), atol=1e-6)
    monkeypatch.undo()
    with pytest.raises(UserError, match="has no attributes"):
        engine.prepare(run)


def test_the_l2_svm_protocol_is_scikit_learns_machine() -> None:
    from sklearn.svm import LinearSVC

    from interalia.metrics.inference import svm_errors

    random = torch.Generator().manual_seed(0)
    means = 2 * torch.randn(3, 5, generator=random)
    y = torch.arange(3).repeat(60)
    x, test, held = (means[y] + torch.randn(180, 5, generator=random) for _ in range(3))
    errors, c = svm_errors(x, y, test, y, held, y, labels=180, draws=2)  # all of them: no draw is left to chance
    reference = LinearSVC(C=c, max_iter=200, random_state=0).fit(x.numpy(), y.numpy())
    assert errors == pytest.approx([1 - reference.score(test.numpy(), y.numpy())] * 2, abs=0.02)
    few, _ = svm_errors(x, y, test, y, held, y, labels=6, draws=20)
    assert len(set(few)) > 5  # the draws differ
    assert sum(few) / 20 > errors[0]
    for labels, words in ((7, "a multiple of 3"), (0, "a multiple of 3"), (300, "60 points of class 0, and 100")):
        with pytest.raises(UserError, match=words):
            svm_errors(x, y, test, y, held, y, labels=labels)


def test_the_svms_c_is_the_one_that_errs_least_on_held_out_points() -> None:
    """Two sets disagree on C: one is known by the first feature, the other by the second, which is small and heard late."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    from interalia.metrics.inference import svm_errors

    random = torch.Generator().manual_seed(7)
    y = torch.arange(1000) % 2

    def points(count: int, first: float, second: float) -> Tensor:
        means = torch.tensor([first, second, *[0.0] * 8])
        x = (2 * y[:count, None] - 1) * means + torch.randn(count, 10, generator=random)
        return x * torch.tensor([1.0, 0.2, *[1.0] * 8])

    train, one, other = points(60, 1.0, 1.0), points(1000, 1.0, 0.0), points(1000, 0.0, 1.0)
    taken = []
    for held, test in ((one, other), (other, one)):
        least, by_hand, expected = math.inf, 0.0, 0.0
        for c in np.exp(np.linspace(-20, 20, 26)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                machine = LinearSVC(C=c, max_iter=200, random_state=0).fit(train.numpy(), y[:60].numpy())
            error = 1 - machine.score(held.numpy(), y.numpy())
            if error < least:
                least, by_hand, expected = error, float(c), 1 - machine.score(test.numpy(), y.numpy())
        errors, c = svm_errors(train, y[:60], test, y, held, y, labels=60, draws=3)  # all of them, in other orders
        assert c == pytest.approx(by_hand, rel=1e-5)
        assert errors == pytest.approx([expected] * 3, abs=0.01)
        taken.append(c)
    assert taken[1] > 1000 * taken[0]


def test_a_level_between_starts_with_a_small_width() -> None:
    torch.manual_seed(0)
    for networks in ("auto(width=4)", "bigan-mlp(width=16)", "ali-28"):
        game = building.build(Run(game="hali(lower=6)", latent_dim=4, networks=networks), (1, 28, 28), labels=0)
        assert isinstance(game, HALI)
        z1 = game.encoder.first(torch.rand(32, 1, 28, 28))
        assert z1.base_dist.scale.mean().item() == pytest.approx(math.exp(-2), rel=0.3)
        assert game.encoder.second(z1.mean).base_dist.scale.mean().item() == pytest.approx(1, rel=0.4)
        below = game.decoder.first(game.prior.sample((32,)))
        assert below.base_dist.scale.mean().item() == pytest.approx(math.exp(-2), rel=0.3)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_vaes_bound_by_torchs_own_distributions(likelihood: str) -> None:
    game = examples.build(f"vae(likelihood={likelihood!r}, sigma=0.3, beta=2.0)")
    assert isinstance(game, VAE)
    (x,) = examples.batch(game)
    joints = game.sample(x)
    outputs, (mu, sigma) = joints["reconstruction"][0], joints["posterior"]
    q = torch.distributions.Normal(mu, sigma)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(torch.zeros_like(mu), 1)).sum(1)
    if likelihood == "gaussian":
        log_p = torch.distributions.Normal(outputs, 0.3).log_prob(x)
    else:
        log_p = torch.distributions.Bernoulli(logits=outputs, validate_args=False).log_prob(x)
    expected = (-log_p.flatten(1).sum(1) + 2 * kl).mean()
    torch.testing.assert_close(game.losses(joints).losses["autoencoder"], expected)


def test_the_vae_of_a_linear_gaussian_model_ends_at_the_exact_likelihood() -> None:
    """x = a z + noise: the best encoder is the posterior, with which the bound is log p(x) itself."""
    torch.manual_seed(0)
    a, s = torch.tensor([[1.0], [2.0]]).double(), 0.5
    decoder = nn.Linear(1, 2, bias=False).double()
    decoder.weight.data = a
    precision = 1 + (a.t() @ a).item() / s**2
    encoder = nn.Linear(2, 2).double()  # mu, log sigma
    encoder.weight.data = torch.cat([a.t() / s**2 / precision, torch.zeros(1, 2).double()])
    encoder.bias.data = torch.tensor([0.0, -0.5 * math.log(precision)]).double()
    game = VAE(Gaussian(encoder), Deterministic(decoder), StandardNormal(1).double(), sigma=s)
    exact = torch.distributions.MultivariateNormal(torch.zeros(2).double(), a @ a.t() + s**2 * torch.eye(2).double())
    x = exact.sample((20_000,))
    assert game(x).losses["autoencoder"].item() == pytest.approx(-exact.log_prob(x).mean().item(), abs=0.02)


def test_what_a_game_cannot_be_made_of_is_one_sentence() -> None:
    for name, fields, shape, words in (
        ("semi-aae", {"encoder": "gaussian"}, (1, 4, 4), "choose an `encoder` that returns z itself"),
        ("vae(likelihood='bernoulli')", {}, (2,), "use vae"),
        ("joint-latent-regressor(distance='cross-entropy')", {}, (1, 4, 4), "choose `prior='uniform'`"),
        ("hali(lower=0)", {}, (1, 4, 4), "needs 1 dimension or more"),
        ("vae-gan", {"networks": "alice-toy"}, (2,), "a critic of x with `features`"),
    ):
        with pytest.raises(UserError, match=words):
            examples.build(name, shape, **fields)


def test_clipping_reaches_both_critics() -> None:
    game = examples.build("alice-adversarial", penalty="weight-clip(bound=0.001)", double=False)
    examples_flow(game).step(iter([examples.batch(game)]))
    for judge in (game.critic, game.cycle_critic):
        assert max(p.abs().max().item() for p in judge.parameters()) == pytest.approx(0.001)  # type: ignore[union-attr, operator]


def test_what_is_told_is_fixed_along_a_traversal() -> None:
    torch.manual_seed(0)
    run = Run(game="gan", data="celeba", condition_on="a,b", latent_dim=3, networks="auto(width=2)")
    game = building.build(run, (1, 4, 4), attributes={"a": 0.5, "b": 0.5}).eval()
    block = tasks.traverse(game, 0, rows=4, columns=3, low=1.0, high=1.0)
    for row in block:
        torch.testing.assert_close(row, row[:1].expand_as(row))  # the code stays at 1, and with it all


def test_a_users_own_module_is_left_alone_and_its_run_has_a_page(tmp_path: Path) -> None:
    from interalia import reports

    module = examples.generator(4, (1, 8, 8)).train()
    run = Run(game="latent-regressor", latent_dim=4, steps=2, **SHORT)  # type: ignore[arg-type]
    trained = engine.train(run, tmp_path / "run", generator=module)
    assert trained.run.monitor == "reconstruction_ratio"  # its samples cannot get better
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert reports.make(trained).is_file()
