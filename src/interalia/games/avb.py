"""Adversarial Variational Bayes, as published and with adaptive contrast."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from interalia.conditionals import Conditional, Prior
from interalia.disturbances import Disturbance
from interalia.divergences import GAN, Divergence
from interalia.errors import UserError
from interalia.games.game import Outcome
from interalia.games.variational import Observed, Variational
from interalia.penalties import Joints, Penalty

FLOOR = 1e-4  # added to variances that are divided by


class Centred(torch.autograd.Function):
    """w as it is; its gradient g without the part that is constant or linear in w, in each dimension by itself:

    g_i <- g_i - mean(g_i) - w_i mean(w_i g_i) / mean(w_i^2),   w_i less its mean
    """

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return w.view_as(w)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (g,), (w,) = gradients, ctx.saved_tensors
        w, g = w - w.mean(0), g - g.mean(0)
        return g - w * (w * g).mean(0) / w.square().mean(0).clamp_min(torch.finfo(w.dtype).tiny)


class AVB(Variational):
    """A VAE whose encoder needs no density: the critic tells the log-ratio that the KL is the mean of.

        critic:       the divergence's loss on s(x, z^), z^ ~ q(z | x), against s(x, z), z ~ p(z), both with x of the data
        autoencoder:  E[-log p(x | z^) + T(x, z^)],  T = log q(z | x) - log p(z), which the optimal critic's score tells

    With `contrast`, adaptive contrast, the critic has the easier task of telling the whitened sample from noise, r being
    the Gaussian of the posterior's own moments:

        critic:       on s(x, z~), z~ = (z^ - m(x)) / v(x)^(1/2), against s(x, e), e ~ N(0, I)
        autoencoder:  E[-log p(x | z^) + T(x, z~) + log r(z^ | x) - log p(z^)],  r = N(m(x), diag v(x))

    where m and v are taken as constants. With an optimal critic both are -log p(x) at least; with any other, the loss is no
    bound of anything.

    `centred` is ours and in no paper. The T of adaptive contrast is the log-ratio of two densities of equal means and
    variances, so that by partial integration, in each dimension,

        E[dT / dz~_i] = 0,   E[z~_i dT / dz~_i] = 0,   z~ of q

    A critic that is not optimal errs in these two, and its errors move the mean and the width of q, which the moments know
    already. So the gradient that T sends into z~ is freed, batch by batch, of the part that is constant or linear in z~_i:
    where the game rests, the means and widths of q fit p(x, z) whatever the critic, as those of a Gaussian posterior would:
    exactly for a single x, on average over the batch for several.

    See also:
        VAE, where q(z | x) has a density.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        encoder: q(z | x), implicit or with a density; with `contrast` one whose distribution has a variance, such as
            `Spanned` or `Gaussian`.
        decoder: the mean of p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z), with a density.
        divergence: what the scores cost; one whose optimal score tells the density ratio.
        penalty: a charge on the critic's gradient, or None.
        noise: instance noise on what the critic sees, or None.
        together: whether the critic sees both joints in one pass, see `Game.score`.
        likelihood, sigma: of p(x | z), as in VAE.
        contrast: whether the contrast is adaptive.
        centred: whether the critic's gradient is freed of what the moments tell; with `contrast` alone.

    Raises:
        UserError: the divergence's score does not tell the density ratio, the prior has no density, or `contrast` is asked
            for an encoder that does not know its moments, or `centred` without `contrast`.
        ValueError: `sigma` is not above 0.

    Example:
        >>> from interalia.conditionals import Dirac, Implicit, StandardNormal
        >>> from interalia.networks.mlp import MLP, Joint
        >>> game = AVB(Implicit(MLP(2 + 4, 3), 4), Dirac(MLP(3, 2)), Joint(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['autoencoder', 'critic']
    """

    players = {"autoencoder": ["encoder", "decoder", "prior"], "critic": ["critic"]}
    deceives = False
    critic: nn.Module

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        critic: nn.Module,
        prior: Prior,
        divergence: Divergence = GAN(),  # noqa: B008 (frozen)
        penalty: Penalty | None = None,
        noise: Disturbance | None = None,
        together: bool = True,
        likelihood: Observed = "gaussian",
        sigma: float = 0.1,
        contrast: bool = False,
        centred: bool = False,
    ) -> None:
        super().__init__(encoder, decoder, prior, likelihood, sigma)
        try:
            divergence.log_ratio(torch.zeros(1))
        except UserError as error:
            raise UserError(f"AVB reads log q(z | x) / p(z) off the critic's score: {error}") from None
        if contrast and not encoder.moments:
            raise UserError(
                "adaptive contrast needs an encoder that knows its mean and variance, and this one does not; use --encoder "
                "spanned, or gaussian."
            )
        if centred and not contrast:
            raise UserError(
                "`centred` frees the critic's gradient of the moments of adaptive contrast; give contrast=True too."
            )
        self.critic = critic
        self.divergence = divergence
        self.penalty = penalty
        self.noise = noise
        self.together = together
        self.contrast = contrast
        self.centred = centred

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        joints: Joints = {"reconstruction": (self.decoder(z_hat).mean,), "posterior": (z_hat,)}
        if not self.contrast:
            return {"q": (x, z_hat), "p": (x, self.prior.sample((len(x),))), **joints}
        mean, variance = q.mean.detach(), q.variance.detach()
        scale = (variance + FLOOR).sqrt()
        white = (z_hat - mean) / scale
        seen = Centred.apply(white) if self.centred else white  # type: ignore[no-untyped-call]
        return {"q": (x, seen), "p": (x, torch.randn_like(white)), "moments": (mean, scale), **joints}

    def losses(self, joints: Joints) -> Outcome:
        q, p = self.score(self.critic, joints["q"], joints["p"])
        critic = self.divergence.critic_loss(q, p) + self.charge(joints["q"], joints["p"])
        (mean,), (z_hat,) = joints["reconstruction"], joints["posterior"]
        x = joints["q"][0]
        ratio = self.divergence.log_ratio(q)
        if self.contrast:
            place, scale = joints["moments"]
            white = (z_hat - place) / scale
            log_r = -(white.square() + math.log(2 * math.pi)).sum(1) / 2 - scale.log().sum(1)
            ratio = ratio + log_r - self.prior.log_prob(z_hat)
        elif self.learns_prior:
            # T's mean is a KL to the prior as it was when the critic looked at it; the prior itself is moved by log p(z^),
            # whose gradient in z^ the critic has told already
            fresh = self.prior.log_prob(z_hat.detach())
            ratio = ratio - fresh + fresh.detach()
        loss = (ratio - self.observed(x, mean)).mean()
        return Outcome({"critic": critic, "autoencoder": loss}, {"q": q, "p": p})

    @property
    def learns_prior(self) -> bool:
        return next(self.prior.parameters(), None) is not None
