"""Hierarchical adversarially learned inference (HALI): ALI with a second vector of latents between z and x."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from torch import Tensor

from interalia.conditionals import Chain, Conditional, Gaussian
from interalia.contexts import processes
from interalia.errors import UserError
from interalia.games.ali import ALI, decode_together, infer_and_decode, sample_and_mean
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.needs import Chain as ChainNeed
from interalia.games.needs import Encoder
from interalia.registry import Width
from interalia.spaces import Space

MIN_UNIT = 1e-3  # added to a standard deviation that is a unit, which may be 0


@module_dataclass
class HALI(ALI):
    """HALI (hierarchical ALI): two levels of latents, z1 next to x and z2 above it, and one critic that scores (x, z1,
    z2).

        q(x, z1, z2) = q(x) q(z1 | x) q(z2 | z1),   p(x, z1, z2) = p(z2) p(z1 | z2) p(x | z1)

        critic, generator:  ALI's losses on the scores of (x, z1^, z2^) and (x~, z1~, z2)

    The first triple is a sample of q, with x from the data; the second is a sample of p, with z2 from the prior.

    The lower level z1 keeps detail: reconstructions from it are close to x. The upper level z2 has the prior p(z2).

    Three further losses, those of the wake-sleep algorithm, each fit the mean m of one conditional to samples. Each is
    the mean of the squared differences over the batch and all dimensions, with the samples' standard deviation in the
    batch as the unit:

        generator:  + sleep * (z1~ - m(z1 | x~))^2            trains q(z1 | x), in the encoder
                    + upper_sleep * (z2 - m(z2 | z1~))^2      trains q(z2 | z1), in the encoder
                    + upper_wake * (z1^ - m(z1 | z2^))^2      trains p(z1 | z2), in the decoder

    No gradient reaches z1~, x~, z1^ or z2^ in these losses, so that each trains that one conditional only.
    Where q = p, their expected gradients are 0; since the unit is estimated from the batch, that of a skewed z1 is 0
    only up to a term of the order 1 / n in a batch of n.

    References:
        Hierarchical Adversarially Learned Inference, Mohamed Ishmael Belghazi and others, 2018,
        https://arxiv.org/abs/1802.01071
        The wake-sleep algorithm for unsupervised neural networks, Geoffrey E. Hinton and others, 1995,
        https://doi.org/10.1126/science.7761831

    Arguments:
        encoder: q(z1 | x) and q(z2 | z1), in sequence.
        decoder: p(z1 | z2) and p(x | z1), in sequence.
        critic: maps (x, z1, z2) to a score, shape (n,).
        prior: p(z2).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        lower: number of dimensions of z1 in networks that `interalia.build` makes; given networks have their own.
        cycle: the weight of ALICE's cycle-consistency loss through z1, the mean over all numbers of x of (x - x^)^2.
        sleep, upper_sleep, upper_wake: the weights of the losses that fit q(z1 | x), q(z2 | z1) and p(z1 | z2) to
            samples; 0 for none. Recommended with cycle=2: upper_sleep=0.5 and upper_wake=0.2.

    Raises:
        ValueError: a weight is negative.
        UserError: a conditional that such a loss trains has no exact mean.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Chain, Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> encoder = Chain(Gaussian(MLP(2, 8)), Gaussian(MLP(4, 6)))
        >>> decoder = Chain(Gaussian(MLP(3, 8)), Deterministic(MLP(4, 2)))
        >>> game = HALI(encoder, decoder, PairCritic(MLP(2 + 4 + 3, 1)), StandardNormal(3))
        >>> [part.shape[1] for part in game.sample(torch.zeros(8, 2))["q"]]
        [2, 4, 3]
    """

    feeds = Data
    name = "hali"
    title = "HALI (hierarchical adversarially learned inference)"
    loss_weights = ("cycle",)

    encoder: Chain
    decoder: Chain
    lower: Width = 128
    cycle: float = 0.0
    upper_sleep: float = field(default=0.0, kw_only=True)
    upper_wake: float = field(default=0.0, kw_only=True)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification: "encoder", the chain q(z1 | x), q(z2 | z1); "decoder", the chain p(z1 | z2),
        p(x | z1); and "critic", which scores (x, z1, z2).

        `settings` are the game's constructor arguments besides the networks; `lower` is the number of dimensions of z1.

        Raises:
            UserError: `lower` is below 1.
        """
        lower = settings["lower"]
        if lower < 1:
            raise UserError(
                f"`lower` is {lower}, and the lower level needs 1 dimension or more; give for example hali(lower=128)."
            )
        z1, z2 = Space("u", (lower,)), s.z
        return {
            "encoder": ChainNeed(s.infer(s.x, z1, narrow=True), s.infer(z1, z2)),
            "decoder": ChainNeed(Encoder((z2,), z1, Gaussian, narrow=True), s.decode(z1, s.x)),
            "critic": s.critic(s.x, z1, z2),
        }

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z1^ ~ q(z1 | x), z2^ ~ q(z2 | z1^), z2 ~ p(z2), z1~ ~ p(z1 | z2) and x~ ~ p(x | z1~) for a batch (x,).

        Returns:
            {"q": (x, z1^, z2^), "p": (x~, z1~, z2)}, and with `cycle` also "cycle": (x^, x), x^ ~ p(x | z1^). With
                `sleep` there is also "sleep": (m(z1 | x~), z1~), with `upper_sleep` "upper_sleep": (m(z2 | z1~), z2), and
                with `upper_wake` "upper_wake": (m(z1 | z2^), z1^). m is the mean of the conditional; both tensors of these
                pairs are divided by the second one's standard deviation in the batch.
        """
        (x,) = batch
        encoder, decoder, pairs = self.encoder, self.decoder, Joints()
        fits_means = any(weight > 0 for weight, _ in self.mean_terms().values())
        if not fits_means:
            z1_hat = encoder.first(x).rsample()  # z1^ ~ q(z1 | x)
            z2_hat = encoder.second(z1_hat).rsample()  # z2^ ~ q(z2 | z1^)
        z2 = self.prior.sample((len(x),))  # z2 ~ p(z2)
        z1_tilde = decoder.first(z2).rsample()  # z1~ ~ p(z1 | z2)
        if fits_means:  # the same samples in another order: the encoder takes those of p too
            z1_hat, x_tilde, pairs = infer_and_decode(encoder.first, decoder.second, x, z1_tilde, sleep=self.sleep > 0)
            z2_hat, _ = sample_and_mean(encoder.second, z1_hat, z1_tilde)
            if self.upper_sleep:  # a pass of its own: through a batch norm of the one above, gradients would reach z1^
                pairs["upper_sleep"] = (sample_and_mean(encoder.second, z1_hat.detach(), z1_tilde)[1], z2)
            if self.upper_wake:
                pairs["upper_wake"] = (sample_and_mean(decoder.first, z2, z2_hat)[1], z1_hat.detach())
            x_hat = [decoder.second(z1_hat).rsample()] if self.cycle else []  # in a pass of its own, unlike below
        else:
            x_tilde, *x_hat = decode_together(decoder.second, z1_tilde, *([z1_hat] if self.cycle else []))
        for name, (mean, samples) in pairs.items():
            unit = processes.deviation(samples, dim=0, correction=0) + MIN_UNIT
            pairs[name] = (mean / unit, samples / unit)
        if self.cycle:
            pairs["cycle"] = (*x_hat, x)
        return {"q": (x, z1_hat, z2_hat), "p": (x_tilde, z1_tilde, z2), **pairs}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of critic and generator from the critic's scores on (x, z1^, z2^) and (x~, z1~, z2).

        z1^ and z2^ are inferred from x; z1~ and x~ are generated from z2. Four terms are added to the generator's loss:

            cycle * mean (x - x^)^2                    with x^ the reconstruction of x from z1^
            sleep * mean (z1~ - m(z1 | x~))^2          trains q(z1 | x) only
            upper_sleep * mean (z2 - m(z2 | z1~))^2    trains q(z2 | z1) only
            upper_wake * mean (z1^ - m(z1 | z2^))^2    trains p(z1 | z2) only

        m is the mean of the conditional. The last three are in units of the samples' standard deviation in the batch.
        `joints` are the samples that `sample` returned.
        """
        return self.with_squares(super().losses(joints), joints, cycle=self.cycle)

    def mean_terms(self) -> dict[str, tuple[float, Conditional]]:
        """Returns the weight of each loss that fits the mean of a conditional to samples, and that conditional.

        Returns:
            {"sleep": (weight, q(z1 | x)), "upper_sleep": (weight, q(z2 | z1)), "upper_wake": (weight, p(z1 | z2))},
                where each weight is the argument of this name; 0 means no such loss.
        """
        return {
            "sleep": (self.sleep, self.encoder.first),
            "upper_sleep": (self.upper_sleep, self.encoder.second),
            "upper_wake": (self.upper_wake, self.decoder.first),
        }
