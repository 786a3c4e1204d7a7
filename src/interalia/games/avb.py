"""Adversarial variational Bayes (AVB): a VAE in which a critic estimates the KL term; also with adaptive contrast."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.adversarial.divergences import GAN
from interalia.conditionals import Conditional, Prior
from interalia.contexts import normal_like, to_float32
from interalia.errors import UserError
from interalia.games.game import Divergence, Joints, Needs, Outcome, Penalty, Setup, module_dataclass
from interalia.games.vae import Observed, Variational

VARIANCE_FLOOR = 1e-4  # added to variances before a division


@module_dataclass
class AVB(Variational):
    """AVB (adversarial variational Bayes): a VAE in which a critic estimates log q(z | x) / p(z), so that q needs no
    density.

        critic:       the divergence's loss on s(x, z^), z^ ~ q(z | x), against s(x, z), z ~ p(z), both with x of the data
        autoencoder:  E[-log p(x | z^) + T(x, z^)],  T = log q(z | x) - log p(z), from the optimal critic's score

    Here s is the critic's score. With `contrast` (adaptive contrast) the critic has an easier task: it compares the
    whitened sample z~ with noise. m(x) and v(x) are the mean and the variances of q(z | x), and r is the Gaussian with
    these moments:

        critic:       on s(x, z~), z~ = (z^ - m(x)) / v(x)^(1/2), against s(x, e), e ~ N(0, I)
        autoencoder:  E[-log p(x | z^) + T(x, z~) + log r(z^ | x) - log p(z^)],  r = N(m(x), diag v(x))

    No gradient flows through m and v. With `correlated` r has the full covariance S = L L^T of the posterior, and the
    sample is whitened by L^-1 (z^ - m), so that the critic need not learn correlations between the latents either. With
    an optimal critic the autoencoder's loss, in both forms, is -log p(x) or more; with any other critic it bounds nothing.

    See Also:
        VAE, for encoders with a density.

    References:
        Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative Adversarial Networks, Lars
        Mescheder, Sebastian Nowozin, Andreas Geiger, 2017, https://arxiv.org/abs/1701.04722

    Arguments:
        encoder: q(z | x), implicit or with a density; with `contrast` its distribution needs a variance, as that of
            `BasisNoise` or `Gaussian` has.
        decoder: the mean of p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z), with a density.
        divergence: the adversarial loss; its optimal score must determine the density ratio.
        penalty: a penalty on the critic's gradient, or None.
        joint_batch: True for one pass of the critic over both kinds of pairs, so that its batch norm normalizes them
            together; False for one pass over each.
        likelihood: "gaussian", or "bernoulli" for binary x.
        sigma: the standard deviation of the Gaussian likelihood.
        contrast: True for adaptive contrast.
        correlated: True if r has the posterior's covariances; False for its variances alone, as published.

    Raises:
        UserError: the divergence's score does not determine the density ratio, the prior has no density, or `contrast` is
            True and the encoder has no moments.
        ValueError: `sigma` is not above 0, or `correlated` is True without `contrast`.

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

    encoder: Conditional
    decoder: Conditional
    critic: nn.Module
    prior: Prior
    divergence: Divergence = GAN()
    penalty: Penalty | None = None
    joint_batch: bool = True
    likelihood: Observed = "gaussian"
    sigma: float = 0.1
    contrast: bool = False
    correlated: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.divergence.log_ratio(torch.zeros(1))
        except UserError as error:
            raise UserError(f"AVB computes log q(z | x) / p(z) from the critic's score: {error}") from None
        if self.contrast and not self.encoder.has_moments:
            raise UserError(
                "adaptive contrast needs an encoder with a mean and a variance, and this one has none; choose another "
                "`encoder`, such as basis-noise or gaussian."
            )
        if self.correlated and not self.contrast:
            raise ValueError("`correlated` applies to adaptive contrast, and `contrast` is False; set both, or neither")

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder", the mean of p(x | z), and
        "critic" of (x, z).

        `settings` are the game's constructor arguments besides the networks; a Bernoulli `likelihood` needs images in
        [0, 1].

        Raises:
            UserError: the likelihood is Bernoulli, and the data are no images in [0, 1].
        """
        critic = s.critic(s.x, s.z, adversarial=False, packable=False)  # its score is a log-ratio for one sample
        return {**super().needs(s, **settings), "critic": critic}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x) and z ~ p(z) for a batch (x,).

        Returns:
            {"q": (x, z^), "p": (x, z), "reconstruction": (the parameters of p(x | z^),), "posterior": (z^,)}.
            With `contrast`, "q" is (x, L^-1 (z^ - m)), "p" is (x, standard normal noise), and "scale" is (log det L,),
            shape (n,); `whiten` computes L and m from the covariance and the mean of q(z | x).
        """
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        joints: Joints = {"reconstruction": (self.outputs(z_hat),), "posterior": (z_hat,)}
        if not self.contrast:
            return {"q": (x, z_hat), "p": (x, self.prior.sample((len(x),))), **joints}
        white, log_scale = self.whiten(z_hat, q)
        return {"q": (x, white), "p": (x, normal_like(white, "prior")), "scale": (log_scale,), **joints}

    def whiten(self, z: Tensor, q: Distribution) -> tuple[Tensor, Tensor]:
        """Returns the whitened latents L^-1 (z - m), shape (n, latent), and log det L, shape (n,).

        m is the mean of q, and L is lower triangular with L L^T = C + 0.0001 I. C is the covariance matrix of q if the
        game's argument `correlated` is True, else the diagonal matrix of the variances of q. m and L pass no gradient.
        With `correlated`, both results are NaN where that sum is not positive definite, which happens when training has
        diverged.

        Arguments:
            z: samples of q, shape (n, latent).
            q: the distribution q(z | x) of each sample, with the attributes `mean` and `variance`, and `covariance` if
                its dimensions are correlated; without this one, its covariance matrix is that of the variances.
        """
        mean = to_float32(q.mean.detach())
        if not self.correlated:
            scale = (to_float32(q.variance.detach()) + VARIANCE_FLOOR).sqrt()
            return (to_float32(z) - mean) / scale, scale.log().sum(1)
        covariance = getattr(q, "covariance", None)
        covariance = torch.diag_embed(q.variance) if covariance is None else covariance
        floor = VARIANCE_FLOOR * torch.eye(z.shape[1], dtype=mean.dtype, device=mean.device)
        scale, failed = torch.linalg.cholesky_ex(to_float32(covariance.detach()) + floor)
        scale = torch.where((failed > 0)[:, None, None], torch.nan, scale)
        white = torch.linalg.solve_triangular(scale, (to_float32(z) - mean).unsqueeze(2), upper=False).squeeze(2)
        return white, scale.diagonal(dim1=1, dim2=2).log().sum(1)

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of the critic and of the autoencoder, and the critic's scores "q" and "p" on the samples
        of these names.

        The critic's is the divergence's loss for these scores. The autoencoder's is minus the lower bound of log p(x),
        in nats, estimated from the scores "q". `joints` are the samples that `sample` returned.
        """
        q, p = self.score(self.critic, joints["q"], joints["p"])
        critic = self.divergence.critic_loss(q, p) + self.penalize(joints["q"], joints["p"])
        (outputs,), (z_hat,) = joints["reconstruction"], joints["posterior"]
        x, white = joints["q"]
        ratio = self.divergence.log_ratio(q)
        if self.contrast:
            (log_scale,) = joints["scale"]
            log_r = -(white.square() + math.log(2 * math.pi)).sum(1) / 2 - log_scale
            ratio = ratio + log_r - self.prior.log_prob(z_hat)
        elif next(self.prior.parameters(), None) is not None:
            # a learned prior: T already has the gradient in z^, so that log p(z^) adds the gradient in the prior alone
            log_p = self.prior.log_prob(z_hat.detach())
            ratio = ratio - log_p + log_p.detach()
        loss = (ratio - self.log_density(x, outputs)).mean()
        return Outcome({"critic": critic, "autoencoder": loss}, {"q": q, "p": p})
