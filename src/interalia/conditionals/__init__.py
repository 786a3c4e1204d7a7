"""Conditional distributions p(y | c), i.e. modules whose `forward(c)` returns a distribution over y, and the priors
p(z).

The caller chooses how to use the distribution: ``encoder(x).rsample()``, ``encoder(x).mean``,
``encoder(x).log_prob(z)``.
"""

from __future__ import annotations

from collections.abc import Callable

from interalia.conditionals.auxiliary import Auxiliary
from interalia.conditionals.base import Chain, Conditional, Deterministic, Gaussian, Implicit, Parametric, Point
from interalia.conditionals.basis_noise import BasisNoise
from interalia.conditionals.building_blocks import SampleAndLogProb, rsample_with_log_prob
from interalia.conditionals.flows import Flow, InverseAutoregressive, Planar
from interalia.conditionals.gaussian_process import GaussianProcess
from interalia.conditionals.hamiltonian import Hamiltonian
from interalia.conditionals.odds import ActivationRecorder, decoder_logits, log_bernoulli, safe_log, safe_logit
from interalia.conditionals.priors import Codes, Learned, Mixture, Prior, StandardNormal, Uniform
from interalia.conditionals.recurrent import Recurrent
from interalia.registry import Registry

CONDITIONALS: Registry[type[Conditional]] = Registry(
    "conditionals",
    {
        "gaussian": Gaussian,
        "deterministic": Deterministic,
        "implicit": Implicit,
        "basis-noise": BasisNoise,
        "flow": Flow,
        "iaf": InverseAutoregressive,
        "planar": Planar,
        "auxiliary": Auxiliary,
        "hamiltonian": Hamiltonian,
        "gaussian-process": GaussianProcess,
        "recurrent": Recurrent,
    },
    base=Conditional,
)
PRIORS: Registry[Callable[..., Prior]] = Registry(
    "priors",
    {"normal": StandardNormal, "uniform": Uniform, "mixture": Mixture, "learned": Learned, "codes": Codes},
    base=Prior,
)

__all__ = [
    "CONDITIONALS", "PRIORS", "ActivationRecorder", "Auxiliary", "BasisNoise", "Chain", "Codes", "Conditional",
    "Deterministic", "Flow", "Gaussian", "GaussianProcess", "Hamiltonian", "Implicit", "InverseAutoregressive", "Learned",
    "Mixture", "Parametric", "Planar", "Point", "Prior", "Recurrent", "SampleAndLogProb", "StandardNormal", "Uniform",
    "decoder_logits", "log_bernoulli", "rsample_with_log_prob", "safe_log", "safe_logit",
]  # fmt: skip
