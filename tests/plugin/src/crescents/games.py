"""A custom game, with a specification of a network that no family has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interalia.adversarial.joints import Joints
from interalia.games import ALI, Outcome
from interalia.games.game import module_dataclass
from interalia.games.needs import Needs, Setup
from interalia.networks import Critic, Family


class Several(nn.Module):
    """Several critics in parallel: their scores, shape (n, count)."""

    def __init__(self, critics: list[nn.Module]) -> None:
        super().__init__()
        self.critics = nn.ModuleList(critics)

    def forward(self, *joint: Tensor) -> Tensor:
        return torch.stack([critic(*joint) for critic in self.critics], dim=1)


@dataclass(frozen=True)
class SeveralCritics(Critic):
    """The specification of several critics of the same variables, each from the run's family of networks."""

    count: int = 3

    def network(self, family: Family, pack: int = 1) -> nn.Module:
        return Several([super(SeveralCritics, self).network(family, pack) for _ in range(self.count)])


@module_dataclass
class EnsembleALI(ALI):
    """ALI with several critics; each has its own loss, and the generator's loss is their mean.

    References:
        Generative Multi-Adversarial Networks, Ishan Durugkar, Ian Gemp, Sridhar Mahadevan, 2017,
        https://arxiv.org/abs/1611.01673

    Arguments:
        critics: number of critics.
    """

    title = "ALI with several critics"
    critics: int = 3

    def __post_init__(self) -> None:
        if self.critics < 1:
            raise ValueError(f"`critics` is {self.critics}, and it counts critics: 1 or more")

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        one = super().needs(s, **settings)
        return {**one, "critic": SeveralCritics((s.x, s.z, *s.y), count=settings["critics"])}

    def losses(self, joints: Joints) -> Outcome:
        q, p = self.score(self.critic, joints["q"], joints["p"])  # (n, critics)
        of_critics, of_generator = self.divergence.critic_loss(q, p), self.divergence.generator_loss(q, p)
        losses = {"critic": of_critics + self.penalize(joints["q"], joints["p"]), "generator": of_generator}
        return Outcome(losses, {"q": q.mean(1), "p": p.mean(1)})
