"""InfoGAN: a GAN with codes among the generator's inputs, which a head on the critic's network predicts from the
samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interalia.adversarial.disturbances import affine
from interalia.conditionals import Codes, Conditional, Prior
from interalia.contexts import evaluating
from interalia.errors import UserError, check_range
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.gan import GAN
from interalia.networks.layers import Recognizer


@module_dataclass
class InfoGAN(GAN):
    """InfoGAN: a GAN with z = [noise, c], whose codes c (categories and numbers) can be predicted from the generated
    samples.

    The critic's trunk has a second head, Q(c | x). Both players maximize the lower bound that it gives of the mutual
    information between x~ and c:

        L = E[log Q(c | x~)] + H(c) <= I(c; x~)   with H the entropy and I the mutual information
        critic:     GAN's - weight L(categories) - continuous_weight L(continuous codes)
        generator:  GAN's - weight L(categories) - continuous_weight L(continuous codes)

    With both weights 0 it is GAN. The authors' program passes data and samples through the critic separately
    (`joint_batch=False`); then codes that Q learns on samples carry over better to data.

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657

    Arguments:
        decoder: p(x | z).
        critic: a `Recognizer`, which has heads for the score and for the parameters of Q(c | x) on one trunk.
        prior: a prior of noise and codes, `Codes`.
        divergence: the adversarial loss.
        penalty: a penalty on the gradient of the critic's score, or None.
        noise: instance noise or augmentation of the critic's input, or None.
        weight: the weight of L for the categorical codes.
        continuous_weight: the weight of L for the other codes.
        steady: True to predict the categorical codes from moved samples too, for images. Their L is then the mean of that of
            the samples x~ and that of the samples T(x~), each moved by a small random affine map T, see
            `adversarial.disturbances.affine`. It is still a lower bound of I(c; x~), since I(c; T(x~)) <= I(c; x~), and it
            favors categories that do not depend on slant, size and position.
        joint_batch: True for one pass of the critic over data and samples, so that its batch norm normalizes them
            together; False for one pass over each.

    Raises:
        UserError: the prior has no codes, the critic has no head for them, or the networks do not fit the codes.
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
    title = "InfoGAN (a GAN with codes that can be recognized in its samples)"

    critic: Recognizer
    prior: Codes
    weight: float = 1.0
    continuous_weight: float = 1.0
    steady: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        prior: Prior = self.prior
        critic: nn.Module = self.critic
        if not isinstance(prior, Codes):
            raise UserError("InfoGAN needs a prior with codes; give `prior='codes(categorical=[10], uniform=2)'`.")
        if not isinstance(critic, Recognizer):
            raise UserError(
                f"InfoGAN needs a critic that recognizes the codes, a Recognizer, and this one is a "
                f"{type(critic).__name__}; choose `networks='auto'` or 'infogan'."
            )
        weights = {"weight": self.weight, "continuous_weight": self.continuous_weight}
        check_range(all(weight >= 0 for weight in weights.values()), "they are 0 or more", **weights)
        check_codes(self.decoder, critic, prior)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "decoder" p(x | z) and "critic" of x, which also returns
        parameters of Q(c | x).

        Q predicts the codes c in z. `settings` are the game's constructor arguments besides the networks, of which only
        `steady` has an effect: it moves samples at random, and so needs images.

        Raises:
            UserError: `steady` is True, and the data are no images.
        """
        if settings.get("steady") and not s.x.is_image:
            raise UserError(f"`steady` moves images, and the data's shape is {s.x.shape}; leave `steady` out.")
        critic = s.critic(s.x, code_outputs=s.prior.code_outputs, packable=False)
        return {**super().needs(s, **settings), "critic": critic}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z = [noise, c] ~ p(z), with the codes c, and x~ ~ p(x | z) for a batch (x,).

        Returns:
            {"data": (x,), "model": (x~,), "code": (z,)}
        """
        (x,) = batch
        z = self.prior.sample((len(x),))  # z = [noise, c] ~ p(z)
        return {"data": (x,), "model": (self.decoder(z).rsample(),), "code": (z,)}  # x~ ~ p(x | z)

    def losses(self, joints: Joints) -> Outcome:
        """Returns GAN's losses of critic and generator, each minus the bound I that `information_bound` returns.

        I is the weighted lower bound of the mutual information between samples and codes. With `steady`, I is the mean
        of two bounds: in the second, the categories are predicted from the samples after a random affine map. `joints`
        are the samples that `sample` returned.
        """
        data, model = self.score(self.score_and_codes, joints["data"], joints["model"])
        information = self.information_bound(model[:, 1:], *joints["code"])
        if self.steady:
            moved = self.code_parameters(affine(*joints["model"]))[:, : sum(self.prior.categorical)]
            parameters = torch.cat([moved, model[:, 1 + moved.shape[1] :]], dim=1)
            information = (information + self.information_bound(parameters, *joints["code"])) / 2
        outcome = self.losses_of_scores(joints, {"data": data[:, 0], "model": model[:, 0]})
        return outcome.with_losses(-1.0, critic=information, generator=information)

    def code_parameters(self, x: Tensor) -> Tensor:
        """Returns the parameters of Q(c | x), the predicted distribution of the codes c, shape (n, outputs). They are
        the logits of each category, then the mean of each continuous code; `prior.code_outputs` is their number.
        """
        return self.critic.score_and_codes(x)[1]

    def score_and_codes(self, x: Tensor) -> Tensor:
        """Returns the critic's score and the parameters of Q(c | x), the predicted distribution of the codes c, for
        each x.

        They are concatenated, shape (n, 1 + outputs), the score first; `prior.code_outputs` is the number of
        parameters.
        """
        score, parameters = self.critic.score_and_codes(x)
        return torch.cat([score[:, None], parameters], dim=1)

    def information_bound(self, parameters: Tensor, z: Tensor) -> Tensor:
        """Returns the sum over codes c of w_c (E[log Q(c | x~)] + H(c)), a scalar in nats, with E the mean over the
        batch.

        Q is the predicted distribution of a code, and H(c) the entropy of the code; each term in parentheses bounds the
        mutual information of samples and this code from below. The factor w_c is the field `weight` for categories and
        `continuous_weight` for the other codes.

        Arguments:
            parameters: the parameters of Q(c | x~) for samples x~, shape (n, outputs), as `code_parameters` returns them.
            z: the latents that the samples x~ were generated from, which contain the codes.
        """
        bound = self.prior.log_likelihood(parameters, z).mean(dim=0) + self.prior.entropy  # L of each code
        categories, continuous = bound.tensor_split([len(self.prior.categorical)])
        return self.weight * categories.sum() + self.continuous_weight * continuous.sum()


def check_codes(decoder: Conditional, critic: Recognizer, prior: Codes) -> None:
    """Checks that the decoder takes latents of the prior's size, and that the critic returns the parameters of all of
    its codes.

    Both are applied in eval mode: the decoder to two latents of zeros, and the critic to the two decoded x.

    Raises:
        UserError: z does not fit the decoder, or the critic's outputs do not fit the codes.
    """
    parameter = next(decoder.parameters())
    z = torch.zeros(2, prior.size, device=parameter.device, dtype=parameter.dtype)
    with evaluating(nn.ModuleList([decoder, critic])):
        try:
            x = decoder(z).mean
        except (RuntimeError, ValueError, IndexError) as error:
            raise UserError(
                f"the codes do not fit the generator: z has {prior.size} dimensions, {prior.description} among them, and the "
                f"decoder cannot take it ({str(error).splitlines()[0]}); build it for {prior.size} dimensions, or change the "
                f"prior's size."
            ) from None
        parameters = critic.score_and_codes(x)[1]
    if parameters.shape != (2, prior.code_outputs):
        raise UserError(
            f"the codes do not fit the critic: they need {prior.code_outputs} outputs ({prior.description}), and its head "
            f"returns {tuple(parameters.shape[1:])}; build the head for {prior.code_outputs} outputs."
        )
