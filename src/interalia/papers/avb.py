"""Adversarial Variational Bayes (AVB) on two problems with known solutions: four one-hot images, and the eight schools."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interalia.conditionals import BasisNoise, Deterministic, Gaussian, StandardNormal
from interalia.data import Dataset, Split
from interalia.games import AVB, VAE
from interalia.games.vae import Variational
from interalia.networks.avb import ResidualCritic
from interalia.papers.experiment import Setting, Values, slug, texts, train
from interalia.papers.study import Study, Trial, rows_of
from interalia.papers.toys import Constant
from interalia.reports import plots
from interalia.runs import Run

SIDE = 400  # points per side of the grid for p(x)


class Pixels(Trial):
    """One trained run of the experiment avb-pixels, with the posteriors q(z | x) of four one-hot images."""

    @cached_property
    def values(self) -> Values:
        """Column -> value, in nats: `likelihood`, the mean log p(x); `bound`, its lower bound; `error`, the reconstruction
        error, in 1e-3 nats per pixel; and `kl` = KL(q(z), p(z)). They are computed by `pixels_values`, from 100,000 samples
        of q(z | x) for each image, or 500 in a smoke test.
        """
        return pixels_values(self.game.cpu(), self.x, self.seed, 500 if self.quick else 100_000)

    @torch.no_grad()
    def draw(self) -> None:
        """Draws 2,000 samples of q(z | x) for each of the four images x as one scatter plot, with a color for each image."""
        torch.manual_seed(self.seed)
        z = [self.game.cpu().encoder(row.expand(2000, *row.shape)).rsample() for row in self.x]
        plots.scatter_groups({str(i): part.numpy() for i, part in enumerate(z)}, self.picture())


@torch.no_grad()
def pixels_values(game: Any, x: Tensor, seed: int, draws: int) -> Values:
    """Returns column -> value of a game with an encoder q(z | x) and two-dimensional z, for images x, shape (n, *shape).
    `likelihood` is the mean log p(x), in nats, by a sum over a grid of z. The others are estimated from `draws` samples of
    q(z | x) for each image, whose random seed is `seed`: `bound`, the mean evidence lower bound of log p(x), in nats;
    `error`, the mean of -log p(x | z), in 1e-3 nats per pixel; and `kl` = KL(q(z), p(z)), in nats, where q(z) is the mean of
    q(z | x) over the images. The entropies of q(z | x) and q(z) in `bound` and `kl` are those that `entropy` estimates.
    """
    axis = torch.linspace(-6, 6, SIDE)
    grid = torch.cartesian_prod(axis, axis)
    mass = game.prior.log_prob(grid) + 2 * math.log(float(axis[1] - axis[0]))
    on_grid = [(game.log_likelihood(row.expand(len(grid), *row.shape), grid) + mass).logsumexp(0) for row in x]
    torch.manual_seed(seed)
    many = [row.expand(draws, *row.shape) for row in x]
    parts = [game.encoder(row).rsample() for row in many]
    loss = -float(np.mean([float(game.log_likelihood(row, z).mean()) for row, z in zip(many, parts, strict=True)]))
    *separate, aggregate = (-entropy(z) - float(game.prior.log_prob(z).mean()) for z in (*parts, torch.cat(parts)))
    return {
        "likelihood": float(np.mean([float(value) for value in on_grid])),
        "bound": -loss - float(np.mean(separate)),
        "error": 1000 * loss / x[0].numel(),
        "kl": aggregate,
    }


def entropy(z: Tensor, neighbours: int = 3) -> float:
    """Estimates the entropy -E[log q(z)], in nats, from n samples z_i ~ q, shape (n, d), by nearest-neighbor distances:

        H = digamma(n) - digamma(k) + log V_d + d / n sum_i log e_i,   V_d = pi^(d/2) / Gamma(d/2 + 1)

    e_i is the distance of z_i to its k-th nearest other sample, k is `neighbours`, and V_d is the volume of the unit ball.
    Unlike a kernel density estimate, this has little bias where q ends sharply. Source: Estimating mutual information,
    Alexander Kraskov, Harald Stoegbauer, Peter Grassberger, 2004, https://arxiv.org/abs/cond-mat/0305641
    """
    from sklearn.neighbors import NearestNeighbors

    n, d = z.shape
    found, _ = NearestNeighbors(n_neighbors=neighbours).fit(z.numpy()).kneighbors()  # without the draw itself
    log_volume = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    digamma = torch.tensor([float(n), float(neighbours)], dtype=torch.float64).digamma()
    distance = np.log(np.maximum(found[:, -1], 1e-300))  # 0 for equal draws
    return float(digamma[0] - digamma[1]) + log_volume + d * float(distance.mean())


AVB_PIXELS = Study(**texts("avb-pixels"), rows=rows_of("avb-pixels"), trial=Pixels)

Y = np.array([2.8, 0.8, -0.3, 0.7, -0.1, 0.1, 1.8, 1.2])
SIGMA = np.array([0.8, 0.5, 0.8, 0.6, 0.5, 0.6, 0.5, 0.4])
DIAGONAL, PUBLISHED, WHOLE = "diagonal Gaussian", "AVB, as published", "AVB, so too, whitened by covariances"
SAMPLES = 200_000


class Schools(nn.Module):
    """The decoder of the eight-schools model: maps z = (mu, tau, eta) to theta_j / sigma_j for each school j = 1 to 8. Here
    theta_j = mu + tau eta_j is the effect of coaching in school j, observed as y_j with the known standard error sigma_j.
    """

    sigma: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sigma", torch.tensor(SIGMA, dtype=torch.float32))

    def forward(self, z: Tensor) -> Tensor:
        """Returns theta_j / sigma_j of each school j, shape (n, 8), for z = (mu, tau, eta_1, ..., eta_8), shape (n, 10)."""
        return (z[:, :1] + z[:, 1:2] * z[:, 2:]) / self.sigma


def schools_game(row: str) -> Variational:
    """Returns an untrained game for the eight-schools model, whose latents are z = (mu, tau, eta_1, ..., eta_8). `row` is the
    name of a row of the table and selects it: "diagonal Gaussian" gives a VAE with a Gaussian q(z | x) of diagonal
    covariance, each other name AVB with adaptive contrast, in the variant of that row. An example x has eight numbers y_j /
    sigma_j: the observed effect in each school, divided by its standard error.
    """
    size = 2 + len(Y)
    if row == DIAGONAL:
        return VAE(Gaussian(Constant(*[0.0] * 2 * size)), Deterministic(Schools()), StandardNormal(size), sigma=1.0)
    location_and_scale = Constant(*[0.0] * size, *[5.0] * size)  # z = z_0 + 1 v(eps)
    draws = {PUBLISHED: 256, WHOLE: 8192}.get(row, 2048)  # see `BasisNoise` for the effect on the bound
    # narrow at first, as this posterior is; standard deviations shrink slowly from the prior's
    encoder = BasisNoise(location_and_scale, size, noise=10, basis=1, width=128, draws=draws, start="published")
    critic = ResidualCritic(len(Y) + size, 256, 5, "everywhere" if row == PUBLISHED else "beyond")
    how: Any = {"sigma": 1.0, "contrast": True, "correlated": row == WHOLE}
    return AVB(encoder, Deterministic(Schools()), critic, StandardNormal(size), **how)


NAMES = ("mu", *(f"theta_{j}" for j in range(1, 9)), *(f"eta_{j}" for j in range(1, 9)), "tau")


def moments_of(z: NDArray[np.float64]) -> dict[str, float]:
    """Returns name -> moment, with the keys of `named_moments`, of samples z = (mu, tau, eta_1, ..., eta_8), shape (n, 10):
    the mean and standard deviation of each variable, and E |tau|.
    """
    mu, tau, eta = z[:, 0], z[:, 1], z[:, 2:].T
    return named_moments([(part.mean(), part.std()) for part in (mu, *(mu + tau * eta), *eta, tau)], np.abs(tau).mean())


def named_moments(moments: Sequence[tuple[float, float]], mean_tau: float) -> dict[str, float]:
    """Returns name -> posterior moment of the variables mu, theta_1 to theta_8, eta_1 to eta_8 and tau, in this order
    (`NAMES`). mu and tau are the mean and the scale of the effects theta_j = mu + tau eta_j in the eight schools. The keys
    are "E |tau|", the means "E mu" and "E theta_1" to "E theta_8", and the standard deviations "sd mu", "sd theta_1", ...,
    "sd tau" of all. `moments` has (mean, standard deviation) of each variable in the order above; `mean_tau` is E |tau|.
    """
    means = {f"E {name}": float(mean) for name, (mean, _) in zip(NAMES[:9], moments, strict=False)}
    deviations = {f"sd {name}": float(deviation) for name, (_, deviation) in zip(NAMES, moments, strict=True)}
    return {"E |tau|": float(mean_tau), **means, **deviations}


@functools.cache
def schools_truth(points: int = 601) -> tuple[dict[str, float], float]:
    """Returns the exact posterior moments, with the keys of `named_moments`, and log p(y) of the observed effects y_j, in
    nats. The variables are those of the eight schools: z = (mu, tau, eta) with the prior N(0, I), and y_j ~ N(mu + tau eta_j,
    sigma_j^2). The moments are sums over a grid of (mu, tau), of `points` values each, with eta integrated in closed form:

        p(y | mu, tau) = prod_j N(y_j; mu, sigma_j^2 + tau^2)
        eta_j | mu, tau, y ~ N(s_j^2 tau (y_j - mu) / sigma_j^2, s_j^2),  s_j^2 = 1 / (1 + tau^2 / sigma_j^2)
    """
    axis = np.linspace(-8, 8, points)
    mu, tau = (part[..., None] for part in np.meshgrid(axis, axis, indexing="ij"))
    variance = SIGMA**2 + tau**2
    log_p = -0.5 * ((Y - mu) ** 2 / variance + np.log(2 * math.pi * variance)).sum(-1)
    log_p += (-0.5 * (mu**2 + tau**2) - math.log(2 * math.pi))[..., 0]
    weight = np.exp(log_p - log_p.max())
    total = weight.sum()
    evidence = log_p.max() + math.log(total) + 2 * math.log(axis[1] - axis[0])
    s = 1 / (1 + tau**2 / SIGMA**2)
    m = s * tau * (Y - mu) / SIGMA**2
    theta = mu + tau * m

    def mean(values: NDArray[np.float64]) -> Any:
        """Returns the means of k functions of (mu, tau) under p(mu, tau | y), shape (k,). `values` are the functions on the
        grid of (mu, tau), shape (points, points, k), or an array that broadcasts to it.
        """
        return np.einsum("ij,ij...->...", weight, np.broadcast_to(values, (*weight.shape, values.shape[-1]))) / total

    def both(first: NDArray[np.float64], second: NDArray[np.float64]) -> list[tuple[float, float]]:
        """Returns (posterior mean, standard deviation) of each of k variables v. `first` is E[v | mu, tau, y] and `second`
        E[v^2 | mu, tau, y], as functions on the grid of (mu, tau), shape (points, points, k).
        """
        return list(zip(mean(first), np.sqrt(mean(second) - mean(first) ** 2), strict=True))

    moments = [*both(mu, mu**2), *both(theta, theta**2 + tau**2 * s), *both(m, m**2 + s), *both(tau, tau**2)]
    return named_moments(moments, mean(np.abs(tau))[0]), float(evidence)


class School(Trial):
    """One trained run of the experiment eight-schools, whose posterior q(z | x) is compared with the exact one."""

    @classmethod
    def of(cls, row: str, run: Run, setting: Setting, facts: Mapping[str, Any]) -> Self:
        """Trains a game for the eight schools and returns its trial. `row` is the name of the row, by which `schools_game`
        selects the game; `run` has the options of the training. All examples are one vector x of y_j / sigma_j, j = 1 to 8:
        the observed effect of coaching in school j, divided by its standard error. `facts` are stored in the trial.
        """
        torch.manual_seed(run.seed)
        x = np.tile(np.float32(Y / SIGMA), (run.batch_size, 1))
        dataset = Dataset("eight-schools", Split(x), Split(x), Split(x), about="Effects of coaching, in eight schools.")
        done, _ = train(run, setting, game=schools_game(row), dataset=dataset)
        return cls(row, run, setting, facts, dataset, done)

    @cached_property
    @torch.no_grad()
    def values(self) -> Values:
        """Column -> value. `means`, `spreads` and `tau` are the largest errors, in %, of posterior means, of standard
        deviations or E |tau|, and of E |tau| alone (see `moment_errors`); tau is the scale of the schools' effects.
        `evidence` is minus the training loss as an estimate of log p(y) of the observed effects y, and `gap` its absolute
        error, in nats. The moments follow, such as "E mu", from 200,000 samples of q(z | x), 10,000 in a smoke test.
        """
        torch.manual_seed(self.seed + 1)
        x = torch.tensor(Y / SIGMA, dtype=torch.float32).expand(10_000, -1)
        draws, bounds = [], []
        for _ in range(1 if self.quick else SAMPLES // 10_000):
            joints = self.game.eval().sample(x)
            draws.append(self.game.encoder(x).sample().double().numpy())
            bounds.append(-float(self.game.losses(joints).losses["autoencoder"]))
        found, (truth, evidence) = moments_of(np.concatenate(draws)), schools_truth()
        bound = float(np.mean(bounds)) - float(np.log(SIGMA).sum())  # from the density of x = y / sigma to that of y
        return {**moment_errors(found, truth), "evidence": bound, "gap": abs(bound - evidence), **found}


def moment_errors(found: Mapping[str, float], truth: Mapping[str, float]) -> dict[str, float]:
    """Returns the absolute errors, in %, of the estimated moments `found` against the exact ones `truth`. Both are name ->
    moment: "E mu" and so on are means, "sd mu" and so on standard deviations, as in `named_moments`. `means` is the largest
    error of a mean, divided by the exact standard deviation; `spreads` is the largest relative error of a standard deviation
    or of E |tau|; `tau` is the relative error of E |tau| alone.
    """
    means = [key for key in truth if key.startswith("E ") and key != "E |tau|"]
    errors = [abs(found[key] - truth[key]) / truth[key.replace("E ", "sd ")] for key in means]
    others = [abs(found[key] / truth[key] - 1) for key in truth if key not in means]
    tau = abs(found["E |tau|"] / truth["E |tau|"] - 1)
    return {"means": 100 * max(errors), "spreads": 100 * max(others), "tau": 100 * tau}


EIGHT_SCHOOLS = Study(
    **texts("eight-schools"),
    rows={name: row.run.replace(name=f"schools-{slug(name)}") for name, row in rows_of("eight-schools").items()},
    trial=School,
)
