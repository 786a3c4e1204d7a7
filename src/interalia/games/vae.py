"""The variational autoencoder, its importance-weighted form (IWAE), and the base class of games with a likelihood p(x |
z).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from interalia import conditionals
from interalia.conditionals import Conditional, Gaussian, Prior, StandardNormal, Uniform
from interalia.contexts import draw_noise, keyed_repeats
from interalia.errors import UserError, check_range
from interalia.games.game import Game, Joints, Needs, Outcome, Setup, module_dataclass

Observed = Literal["gaussian", "bernoulli"]


class Variational(Game):
    """Base class of games with a likelihood p(x | z): Gaussian with a fixed sigma, or Bernoulli for binary x.

    The decoder returns the mean of p(x | z).

        gaussian:   log p(x | z) = -|x - mu(z)|^2 / (2 sigma^2) - (d / 2) log(2 pi sigma^2)
        bernoulli:  log p(x | z) = sum_i x_i log mu_i(z) + (1 - x_i) log(1 - mu_i(z)),   mu_i = sigmoid(a_i)

    Here mu(z) is the decoder's output, and d the number of dimensions of x. If the decoder ends in a sigmoid, the Bernoulli
    likelihood is computed from the logits a, without rounding errors at large |a|.

    Arguments:
        encoder: q(z | x).
        decoder: the mean of p(x | z).
        prior: p(z).
        likelihood: "gaussian" or "bernoulli".
        sigma: the standard deviation of the Gaussian likelihood.

    Raises:
        UserError: the prior has no density, or is zero where q(z | x) is not.
        ValueError: `sigma` is not above 0.
    """

    encoder: Conditional
    decoder: Conditional
    prior: Prior
    likelihood: Observed
    sigma: float

    def __post_init__(self) -> None:
        check_range(0 < self.sigma < math.inf, "a standard deviation is above 0", sigma=self.sigma)
        self.prior.log_prob(self.prior.sample((1,)))  # raises if it has no density
        if isinstance(self.prior, Uniform) and (self.encoder.has_density or self.encoder.has_moments):
            raise UserError(
                "a uniform prior has no mass outside of [-1, 1], and this encoder's q(z | x) has some there, so that its KL "
                "is infinite; choose another `prior`, such as normal, or avb with an implicit `encoder`."
            )
        # a bound method and no submodule, so that deepcopy binds it to the copied game
        self.encoder.set_log_joint(self.log_joint)
        self.encoder.set_decoder(self.decoder)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x) and "decoder", the mean of p(x | z).

        `settings` are the game's constructor arguments besides the networks; a Bernoulli `likelihood` needs images in
        [0, 1].

        Raises:
            UserError: the likelihood is Bernoulli, and the data are no images in [0, 1].
        """
        if settings["likelihood"] == "bernoulli" and s.x.support != "unit":
            raise UserError(
                "a Bernoulli likelihood needs images in [0, 1]; use vae(likelihood='gaussian') for vectors."
            )
        return {"encoder": s.infer(s.x, s.z), "decoder": s.decode(s.z, s.x)}

    @property
    def binary(self) -> bool:
        """True if p(x | z) is Bernoulli, for x of zeros and ones."""
        return self.likelihood == "bernoulli"

    def outputs(self, z: Tensor) -> Tensor:
        """Returns the parameters of p(x | z), of x's shape: the mean of a Gaussian, or the logits of a Bernoulli."""
        if self.binary:
            return conditionals.decoder_logits(self.decoder, z)
        return self.decoder(z).mean

    def log_density(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Returns log p(x | z) in nats for each x, shape (n,).

        Arguments:
            x: the data, shape (n, ...).
            outputs: the parameters of p(x | z) for each x, as the method `outputs` returns them, of x's shape.
        """
        if self.binary:
            return conditionals.log_bernoulli(x, outputs).flatten(1).sum(1)
        each = ((x - outputs) / self.sigma).square() / 2 + math.log(self.sigma) + math.log(2 * math.pi) / 2
        return -each.flatten(1).sum(1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns log p(x | z) in nats for each pair of x and z, shape (n,)."""
        return self.log_density(x, self.outputs(z))

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Returns log p(x, z) = log p(x | z) + log p(z) in nats for each pair of x and z, shape (n,)."""
        return self.log_likelihood(x, z) + self.prior.log_prob(z)

    def simulate(self, z: Tensor) -> Tensor:
        """Draws one sample x ~ p(x | z) for each z, including the noise of the likelihood, shape (n, ...)."""
        mean: Tensor = self.decoder(z).mean
        noise = draw_noise("likelihood", "uniform" if self.binary else "normal", mean.shape, mean)
        return (noise < mean).to(mean.dtype) if self.binary else mean + self.sigma * noise


@module_dataclass
class VAE(Variational):
    """VAE (variational autoencoder): maximizes a lower bound of log p(x), in nats. Also beta-VAE and IWAE.

        autoencoder:  E_{q(z | x)}[-log p(x | z)] + beta KL(q(z | x) || p(z)) >= -log p(x) for beta = 1

    with p(x | z) Gaussian with a fixed standard deviation around the decoder's mean, or Bernoulli with that mean for binary
    x. The KL is in closed form for a Gaussian encoder and a standard normal prior; otherwise it is estimated by
    log q(z | x) - log p(z) at the sampled z. With another beta it is the beta-VAE. With K samples it is the
    importance-weighted autoencoder (IWAE):

        autoencoder:  -log (1/K) sum_k w_k >= -log p(x),  w_k = p(x, z_k) / q(z_k | x),  z_k ~ q(z | x)

    With `doubly` the encoder's gradient has the doubly reparameterized form, which has a smaller variance.

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Irina Higgins and others, 2017,
        https://openreview.net/forum?id=Sy2fzU9gl
        Importance Weighted Autoencoders, Yuri Burda, Roger Grosse, Ruslan Salakhutdinov, 2016,
        https://arxiv.org/abs/1509.00519
        Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives, George Tucker and others, 2019,
        https://arxiv.org/abs/1810.04152

    Arguments:
        encoder: q(z | x), with a density.
        decoder: the mean of p(x | z).
        prior: p(z), with a density.
        likelihood: "gaussian", or "bernoulli" for binary x.
        sigma: the standard deviation of the Gaussian likelihood.
        beta: the weight of the KL; must be 1 with several samples.
        samples: K, the samples of z for each x.
        doubly: True for the doubly reparameterized gradient of the encoder, which must be Gaussian.
        analytic: True to use the closed form of the KL where there is one.

    Raises:
        UserError: the encoder or the prior has no density, or `doubly` is True and the encoder is not Gaussian.
        ValueError: a number is out of its range, or beta is not 1 with several samples.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), StandardNormal(3), samples=5)
        >>> list(game(torch.zeros(8, 2)).losses)
        ['autoencoder']
    """

    players = {"autoencoder": ["encoder", "decoder", "prior"]}
    name = "vae"
    title = "VAE (a variational autoencoder)"

    encoder: Conditional
    decoder: Conditional
    prior: Prior
    likelihood: Observed = "gaussian"
    sigma: float = 0.1
    beta: float = 1.0
    samples: int = 1
    doubly: bool = False
    analytic: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.encoder.has_density:
            raise UserError(
                "VAE needs log q(z | x), and this encoder has no density; choose another `encoder`, such as gaussian, or the "
                "game avb."
            )
        valid = self.beta >= 0 and self.samples >= 1
        check_range(valid, "they must be 0 or more, and 1 or more", beta=self.beta, samples=self.samples)
        rule = f"with {self.samples} samples the bound holds only for beta = 1"
        check_range(self.samples == 1 or self.beta == 1, rule, beta=self.beta)
        if self.doubly and not isinstance(self.encoder, Gaussian):
            raise UserError("`doubly` needs a Gaussian encoder; choose `encoder='gaussian'`, or leave it out.")
        normal = isinstance(self.encoder, Gaussian) and isinstance(self.prior, StandardNormal)
        self.analytic = self.analytic and self.samples == 1 and not self.doubly and normal

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), K = `samples` of them for each x, for a batch (x,); the K samples of one x are
        consecutive.

        Returns:
            "q": (x, z^)
            "reconstruction": (the parameters of p(x | z^),)
            "posterior": (the mean and the standard deviation of q(z | x)) if the KL divergence has a closed form, else
            (log q(z^ | x),), shape (n * K,)
        """
        (x,) = batch
        q: Any = self.encoder.forward_repeated(self.samples, x)
        joints: Joints = {}
        with keyed_repeats(self.samples):
            if self.analytic:
                z_hat = q.rsample()  # z^ ~ q(z | x)
                joints["posterior"] = (q.base_dist.loc, q.base_dist.scale)
            elif self.doubly:
                z_hat, mu, sigma = q.rsample(), q.base_dist.loc.detach(), q.base_dist.scale.detach()
                fixed = torch.distributions.Normal(mu, sigma, validate_args=False)
                joints["posterior"] = (fixed.log_prob(z_hat).sum(1),)  # log q(z^ | x), with a gradient through z^ alone
            else:
                z_hat, log_q = conditionals.rsample_with_log_prob(q)
                joints["posterior"] = (log_q,)
        return {"q": (x, z_hat), "reconstruction": (self.outputs(z_hat),), **joints}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the loss of the only player, "autoencoder": minus the lower bound of log p(x), in nats, averaged over
        the batch.

        The field `beta` is the weight of the KL divergence in it; for other values than 1 it is not a bound. `joints` are
        the samples that `sample` returned.
        """
        (x, z_hat), (outputs,) = joints["q"], joints["reconstruction"]
        log_p = self.log_density(x.repeat_interleave(self.samples, dim=0), outputs)
        if self.analytic:
            mu, sigma = joints["posterior"]
            kl = ((mu.square() + sigma.square() - 1) / 2 - sigma.log()).sum(1)  # KL(q(z | x) || N(0, I))
            return Outcome({"autoencoder": (self.beta * kl - log_p).mean()})
        (log_q,) = joints["posterior"]
        kl = log_q - self.prior.log_prob(z_hat)
        if self.samples == 1:
            return Outcome({"autoencoder": (self.beta * kl - log_p).mean()})
        log_w = (log_p - kl).unflatten(0, (len(x), self.samples))
        if self.doubly and z_hat.requires_grad:
            # decoder and prior: sum_k w~_k grad log w_k, as always; encoder, through z^: sum_k w~_k^2 grad log w_k
            weights = log_w.detach().softmax(dim=1).flatten()[:, None]
            z_hat.register_hook(lambda gradient: weights * gradient)
        return Outcome({"autoencoder": (math.log(self.samples) - log_w.logsumexp(dim=1)).mean()})
