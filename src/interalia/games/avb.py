"""Adversarial Variational Bayes, as published and with adaptive contrast."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.adversarial.divergences import GAN
from interalia.conditionals import Conditional, Prior
from interalia.contexts import to_float32
from interalia.errors import UserError
from interalia.games.game import Divergence, Joints, Needs, Outcome, Penalty, Setup, module_dataclass
from interalia.games.vae import BOUND, Observed, Variational

FLOOR = 1e-4  # added to variances that are divided by


@module_dataclass
class AVB(Variational):
    """A VAE whose encoder needs no density: the critic tells the log-ratio that the KL is the mean of.

        critic:       the divergence's loss on s(x, z^), z^ ~ q(z | x), against s(x, z), z ~ p(z), both with x of the data
        autoencoder:  E[-log p(x | z^) + T(x, z^)],  T = log q(z | x) - log p(z), which the optimal critic's score tells

    With `contrast`, adaptive contrast, the critic has the easier task of telling the whitened sample from noise, r being
    the Gaussian of the posterior's own moments:

        critic:       on s(x, z~), z~ = (z^ - m(x)) / v(x)^(1/2), against s(x, e), e ~ N(0, I)
        autoencoder:  E[-log p(x | z^) + T(x, z~) + log r(z^ | x) - log p(z^)],  r = N(m(x), diag v(x))

    where m and v are taken as constants. With `correlated` r has the posterior's whole covariance S = L L^T, and the sample
    is whitened by L^-1 (z^ - m): what correlates in q(z | x), in which nothing asks for latents along the axes, is no task
    for the critic then either. With an optimal critic both are -log p(x) at least; with any other, the loss is no
    bound of anything.

    See also:
        VAE, where q(z | x) has a density.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        encoder: q(z | x), implicit or with a density; with `contrast` one whose distribution has a variance, such as
            `BasisNoise` or `Gaussian`.
        decoder: the mean of p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z), with a density.
        divergence: what the scores cost; one whose optimal score tells the density ratio.
        penalty: a charge on the critic's gradient, or None.
        together: whether the critic sees both joints in one pass, see `Game.score`.
        likelihood, sigma: of p(x | z), as in VAE.
        contrast: whether the contrast is adaptive.
        correlated: whether r has the posterior's covariances too, and not its variances alone as published.

    Raises:
        UserError: the divergence's score does not tell the density ratio, the prior has no density, or `contrast` is asked
            for an encoder that does not know its moments.
        ValueError: `sigma` is not above 0, or `correlated` is asked for without `contrast`.

    Example:
        >>> from interalia.conditionals import Deterministic, Implicit, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = AVB(Implicit(MLP(2 + 4, 3), 4), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['autoencoder', 'critic']
    """

    players = {"autoencoder": ["encoder", "decoder", "prior"], "critic": ["critic"]}
    name = "avb"
    title = "AVB (adversarial variational Bayes)"
    teaches = (
        BOUND + "Both raise a lower bound of log p(x), the log-likelihood of the data in nats. Since q may be of any "
        "form, a critic learns the term of the bound that asks for its density, from pairs (data, inferred z) and"
        " pairs (data, random z). What it tells is an estimate, so that the loss is no certified bound."
    )
    judged = "pairs (data, inferred z) and pairs (data, random z)"
    reading = (
        "How to read them: the autoencoder's loss is minus the bound of log p(x) on training data, in nats, as far as "
        "the critic tells it; it should fall. The critic's scores on pairs (data, inferred z) lie above those on pairs "
        "(data, random z) by what z tells of the data, and are meant to: they meet only where z tells nothing, or, with "
        "adaptive contrast, where q(z | x) is Gaussian."
    )

    encoder: Conditional
    decoder: Conditional
    critic: nn.Module
    prior: Prior
    divergence: Divergence = GAN()
    penalty: Penalty | None = None
    together: bool = True
    likelihood: Observed = "gaussian"
    sigma: float = 0.1
    contrast: bool = False
    correlated: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.divergence.log_ratio(torch.zeros(1))
        except UserError as error:
            raise UserError(f"AVB reads log q(z | x) / p(z) off the critic's score: {error}") from None
        if self.contrast and not self.encoder.has_moments:
            raise UserError(
                "adaptive contrast needs an encoder that knows its mean and variance, and this one does not; choose "
                "another `encoder`, such as basis-noise or gaussian."
            )
        if self.correlated and not self.contrast:
            raise ValueError("`correlated` is of an adaptive contrast, and `contrast` is False; set both, or neither")

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        critic = s.judge(s.x, s.z, adversarial=False, packable=False)  # its score is a log-ratio of single samples
        return {**super().needs(s, **settings), "critic": critic}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        joints: Joints = {"reconstruction": (self.outputs(z_hat),), "posterior": (z_hat,)}
        if not self.contrast:
            return {"q": (x, z_hat), "p": (x, self.prior.sample((len(x),))), **joints}
        white, log_scale = self.whitened(z_hat, q)
        return {"q": (x, white), "p": (x, torch.randn_like(white)), "scale": (log_scale,), **joints}

    def whitened(self, z: Tensor, q: Distribution) -> tuple[Tensor, Tensor]:
        """L^-1 (z - m), shape (n, latent), and log det L, shape (n,): L L^T is the covariance of q, or its diagonal; NaN
        where that is none, of a posterior that has diverged."""
        mean = to_float32(q.mean.detach())
        if not self.correlated:
            scale = (to_float32(q.variance.detach()) + FLOOR).sqrt()
            return (to_float32(z) - mean) / scale, scale.log().sum(1)
        covariance = getattr(q, "covariance", None)
        covariance = torch.diag_embed(q.variance) if covariance is None else covariance
        floor = FLOOR * torch.eye(z.shape[1], dtype=mean.dtype, device=mean.device)
        scale, failed = torch.linalg.cholesky_ex(to_float32(covariance.detach()) + floor)
        scale = torch.where((failed > 0)[:, None, None], torch.nan, scale)
        white = torch.linalg.solve_triangular(scale, (to_float32(z) - mean).unsqueeze(2), upper=False).squeeze(2)
        return white, scale.diagonal(dim1=1, dim2=2).log().sum(1)

    def losses(self, joints: Joints) -> Outcome:
        q, p = self.score(self.critic, joints["q"], joints["p"])
        critic = self.divergence.critic_loss(q, p) + self.charge(joints["q"], joints["p"])
        (outputs,), (z_hat,) = joints["reconstruction"], joints["posterior"]
        x, seen = joints["q"]
        ratio = self.divergence.log_ratio(q)
        if self.contrast:
            (log_scale,) = joints["scale"]
            log_r = -(seen.square() + math.log(2 * math.pi)).sum(1) / 2 - log_scale
            ratio = ratio + log_r - self.prior.log_prob(z_hat)
        elif next(self.prior.parameters(), None) is not None:
            # T's mean is a KL to the prior as it was when the critic looked at it; the prior itself is moved by log p(z^),
            # whose gradient in z^ the critic has told already
            fresh = self.prior.log_prob(z_hat.detach())
            ratio = ratio - fresh + fresh.detach()
        loss = (ratio - self.log_density(x, outputs)).mean()
        return Outcome({"critic": critic, "autoencoder": loss}, {"q": q, "p": p})
