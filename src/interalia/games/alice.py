"""ALI with round trips: ALICE, adversarial inference with conditional entropy, by a distance or by a critic."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interalia.games.ali import ALI, DISTANCES, PAIRS
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass


@module_dataclass
class ALICE(ALI):
    """ALI whose generator is also charged for what a round trip loses, an explicit bound on the conditional entropy H(x | z).

    ALI matches the two joints, and where it stops short of that it leaves open which z belongs to which x; with x^ drawn
    from p(x | z^), z^ from q(z | x):

        critic:     as in ALI
        generator:  as in ALI + cycle * (the mean over all numbers of x of (x - x^)^2,
                    or of |x - x^| with distance="l1")
                    + cycle_z * (the same of z and z^^ ~ q(z | x~))

    See also:
        ALI, which this is with `cycle` 0.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215

    Arguments:
        encoder, decoder, critic, prior, divergence, penalty, noise, together: as in ALI.
        cycle: the weight of the round trip from x.
        cycle_z: the weight of the one from z.
        distance: "mse" or "l1".

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = ALICE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).scores)
        ['p', 'q']
    """

    name = "alice"
    title = "ALICE (adversarially learned inference with conditional entropy)"
    teaches = (
        PAIRS + "Unlike in ALI, encoder and decoder are also charged for what a reconstruction loses, so its "
        "reconstructions are not comparable with those of ALI, which come about without being asked for."
    )

    cycle: float = 1.0
    cycle_z: float = 0.0
    distance: Literal["mse", "l1"] = "mse"

    def sample(self, *batch: Tensor) -> Joints:
        joints, x_hat = round_trip(self, *batch)
        joints["cycle"] = (x_hat, batch[0])
        if self.cycle_z:
            x_tilde, z, *y = joints["p"]
            joints["cycle_z"] = (self.encoder(x_tilde, *y).rsample(), z)
        return joints

    def losses(self, joints: Joints) -> Outcome:
        outcome = super().losses(joints)
        for key, weight in (("cycle", self.cycle), ("cycle_z", self.cycle_z)):
            if key in joints:
                outcome = outcome.plus(weight, generator=DISTANCES[self.distance](*joints[key]))
        return outcome


@module_dataclass
class AdversarialALICE(ALI):
    """ALICE whose round trip is judged by a second critic, of pairs (x, x) against (x, x^), in place of a distance.

        critic:     as in ALI, and weight * (the same loss on the scores t(x, x) against t(x, x^)) for its second network t
        generator:  as in ALI, and weight * (the same loss on t)

    A distance asks for the mean image of all that z^ may mean; a critic of pairs asks for one that goes with x.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215 (section 3.2)

    Arguments:
        encoder, decoder, critic, prior, divergence, penalty, noise, together: as in ALI; the penalty is on both critics.
        cycle_critic: t, maps (x, x') to a score, shape (n,).
        weight: of what t costs.
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "cycle_critic"]}
    feeds = Data
    name = "alice-adversarial"
    title = "ALICE (adversarially learned inference with a critic of round trips)"
    teaches = (
        PAIRS + "A second critic tries to tell an input from its reconstruction, with the input beside it, so that "
        "reconstructions are asked for without a distance between pixels."
    )
    judged = (
        "pairs (data, inferred z) and pairs (sample, random z), and the second critic's on data beside themselves and beside "
        "their reconstructions,"
    )

    cycle_critic: nn.Module = field(kw_only=True)
    weight: float = 1.0

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "cycle_critic": s.judge(s.x, s.x)}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        joints, x_hat = round_trip(self, x)
        return {**joints, "same": (x, x), "cycle": (x, x_hat)}

    def losses(self, joints: Joints) -> Outcome:
        outcome, again = super().losses(joints), self.contest(joints, "same", "cycle", "cycle_critic")
        return outcome.plus(self.weight, again.scores, **again.losses)


def round_trip(game: ALI, x: Tensor, *y: Tensor) -> tuple[Joints, Tensor]:
    """ALI's joints and x^, made in one pass with x~, so that a batch norm in the decoder sees both kinds of latents mixed."""
    z = game.prior.sample((len(x),))  # z ~ p(z)
    z_hat = game.encoder(x, *y).rsample()  # z^ ~ q(z | x)
    both = game.decoder(torch.cat([z, z_hat]), *(part.repeat(2, 1) for part in y)).rsample()
    x_tilde, x_hat = both.chunk(2)  # x~ ~ p(x | z), x^ ~ p(x | z^)
    return {"q": (x, z_hat, *y), "p": (x_tilde, z, *y)}, x_hat
