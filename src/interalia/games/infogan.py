"""InfoGAN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interalia.conditionals import Codes, Conditional, Prior
from interalia.contexts import evaluating
from interalia.errors import UserError, check_range
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.gan import GAN
from interalia.networks.layers import Recognizer


@module_dataclass
class InfoGAN(GAN):
    """GAN whose samples have to tell the codes that they were made from: z = [noise, c].

    The critic's trunk has a second head, Q(c | x), and both players are credited with the lower bound that it gives of the
    information that x~ has about c:

        L = E[log Q(c | x~)] + H(c) <= I(c; x~)
        critic:     GAN's - weight L(categories) - continuous_weight L(continuous codes)
        generator:  GAN's - weight L(categories) - continuous_weight L(continuous codes)

    With both weights 0 it is GAN. The authors' program shows data and samples to the critic in a pass each
    (`together=False`); then what the recogniser learns on samples is worth more on data.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657

    Arguments:
        decoder: p(x | z).
        critic: a `Recognizer`: a score and the parameters of Q(c | x) on one trunk.
        prior: `Codes`.
        divergence: what the scores cost.
        penalty: a charge on the gradient of the critic's score, or None.
        noise: what is done to the joints before the critic sees them, or None.
        weight: lambda of the categorical codes.
        continuous_weight: lambda of the others.
        together: whether the critic sees data and samples in one pass, see `Game.score`.

    Raises:
        UserError: the prior has no codes, the critic does not answer for them, or the networks do not fit the codes.
        ValueError: a weight is negative.

    Example:
        >>> from interalia.conditionals import Deterministic
        >>> from interalia.networks.mlp import MLP
        >>> prior = Codes(8, categorical=(3,), uniform=1)
        >>> critic = Recognizer(nn.Linear(2, 16), nn.Linear(16, 1), nn.Linear(16, prior.code_outputs))
        >>> game = InfoGAN(Deterministic(MLP(8, 2)), critic, prior)
        >>> sorted(game(torch.zeros(4, 2)).losses)
        ['critic', 'generator']
    """

    feeds = Data
    name = "infogan"
    title = "InfoGAN (a GAN whose samples tell the codes that they were made from)"
    teaches = (
        "Two networks learn against each other: a generator that makes data from {latent}, some of them codes (a "
        "category, a number in a range) and the rest noise, and a critic that tries to tell what it makes from "
        "real data and also says which codes a sample was made from. Both are rewarded when the codes can be "
        "told, so that each code comes to stand for something that can be seen. Nobody tells them what; there are"
        " no labels in the training."
    )

    critic: Recognizer
    prior: Codes
    weight: float = 1.0
    continuous_weight: float = 1.0

    def __post_init__(self) -> None:
        prior: Prior = self.prior
        critic: nn.Module = self.critic
        if not isinstance(prior, Codes):
            raise UserError("InfoGAN needs a prior with codes; give `prior='codes(categorical=[10], uniform=2)'`.")
        if not isinstance(critic, Recognizer):
            raise UserError(
                f"InfoGAN needs a critic that answers for the codes, a Recognizer, and this one is a "
                f"{type(critic).__name__}; choose `networks='auto'` or 'infogan'."
            )
        weights = {"weight": self.weight, "continuous_weight": self.continuous_weight}
        check_range(all(weight >= 0 for weight in weights.values()), "they are 0 or more", **weights)
        check_codes(self.decoder, critic, prior)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {
            **super().needs(s, **settings),
            "critic": s.judge(s.x, code_outputs=s.prior.code_outputs, packable=False),
        }

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        z = self.prior.sample((len(x),))  # z = [noise, c] ~ p(z)
        return {"data": (x,), "model": (self.decoder(z).rsample(),), "code": (z,)}  # x~ ~ p(x | z)

    def losses(self, joints: Joints) -> Outcome:
        data, model = self.score(self.answer, joints["data"], joints["model"])
        information = self.information(model[:, 1:], *joints["code"])
        outcome = self.charged(joints, {"data": data[:, 0], "model": model[:, 0]})
        return outcome.plus(-1.0, critic=information, generator=information)

    def answers(self, x: Tensor) -> Tensor:
        """The parameters of Q(c | x), shape (n, answers)."""
        return self.critic.score_and_codes(x)[1]

    def answer(self, x: Tensor) -> Tensor:
        """The critic's score and its answers side by side, shape (n, 1 + answers)."""
        score, answers = self.critic.score_and_codes(x)
        return torch.cat([score[:, None], answers], dim=1)

    def information(self, answers: Tensor, z: Tensor) -> Tensor:
        """sum over codes of lambda (E[log Q(c | x~)] + H(c)), in nats."""
        bound = self.prior.log_likelihood(answers, z).mean(dim=0) + self.prior.entropy  # L of each code
        categories, continuous = bound.tensor_split([len(self.prior.categorical)])
        return self.weight * categories.sum() + self.continuous_weight * continuous.sum()


def check_codes(decoder: Conditional, critic: Recognizer, prior: Codes) -> None:
    """Tries the networks out on two latents, without a trace.

    Raises:
        UserError: z does not fit the decoder, or the answers do not fit the codes.
    """
    parameter = next(decoder.parameters())
    z = torch.zeros(2, prior.size, device=parameter.device, dtype=parameter.dtype)
    with evaluating(nn.ModuleList([decoder, critic])):
        try:
            x = decoder(z).mean
        except (RuntimeError, ValueError, IndexError) as error:
            raise UserError(
                f"the codes do not fit the generator: z has {prior.size} numbers, {prior.description} among them, and the decoder "
                f"cannot take it ({str(error).splitlines()[0]}); build it for {prior.size} numbers, or change the prior's "
                f"size."
            ) from None
        answers = critic.score_and_codes(x)[1]
    if answers.shape != (2, prior.code_outputs):
        raise UserError(
            f"the codes do not fit the critic: they take {prior.code_outputs} answers ({prior.description}), and its head gives "
            f"{tuple(answers.shape[1:])}; build the head for {prior.code_outputs} numbers."
        )
