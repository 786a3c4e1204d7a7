"""CycleGAN: translation between two domains without pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from interalia.adversarial.divergences import LeastSquares
from interalia.adversarial.pools import Pool
from interalia.contexts import to_float32
from interalia.errors import UserError, check_range
from interalia.games.feeds import Domains
from interalia.games.game import Disturbance, Divergence, Game, Joints, Needs, Outcome, Penalty, Setup, module_dataclass
from interalia.networks import Map


@module_dataclass
class CycleGAN(Game):
    """Two maps G: a -> b and F: b -> a, each against a critic of the domain it leads to, and charged for the way back.

    With L the generator's loss of the divergence and |.| the mean over all numbers, in pixels of [-1, 1] as in the paper (our
    images lie in [0, 1], so each distance counts twice), the generator is charged

        adversarial (L(D_b: b, G(a)) + L(D_a: a, F(b)))
        + cycle (|F(G(a)) - a| + |G(F(b)) - b|)
        + cycle identity (|G(b) - b| + |F(a) - a|)

    and each critic the divergence between its domain and a pool of past translations. With least squares and
    `adversarial` 2 these are the paper's losses, for the library's least squares carry a half that the paper's generator
    does not. Critics may score patches: losses are means over all of them.

    The paper moves the generator and then the critics, on translations of the generator before its move: both gradients are
    taken at one point, so that is the simultaneous dynamics. A pool takes part only where its critic is being trained; the
    generator's look in an alternating dynamics leaves it as it is.

    See also:
        ALICE, whose round trip is this between x and z, where one of the two domains is the prior.

    References:
        Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Jun-Yan Zhu and others, 2017,
        https://arxiv.org/abs/1703.10593

    Arguments:
        to_b, to_a: G and F, each mapping images to images of the other domain.
        critic_a, critic_b: map an image to scores, shape (n,) or (n, height, width), unbounded.
        divergence: what the scores cost.
        penalty: a charge on each critic's gradient (of the sum of an image's scores), or None.
        noise: instance noise on what the critics see, or None.
        cycle: the weight of the way back; 0 leaves the two GANs alone.
        identity: the weight of leaving an image alone that is of the right domain already, in units of `cycle`; the paper
            takes 0.5 for paintings to photographs, to keep the colours, and 0 elsewhere.
        adversarial: the weight of the divergence in the generator's loss; 0 leaves the two round trips alone.
        pool: how many past translations are kept for each critic; 0 for none.

    Example:
        >>> from interalia.networks.layers import PairCritic
        >>> game = CycleGAN(nn.Linear(2, 2), nn.Linear(2, 2), PairCritic(nn.Linear(2, 1)), PairCritic(nn.Linear(2, 1)))
        >>> sorted(game(torch.zeros(8, 2), torch.ones(8, 2)).scores)
        ['a', 'b', 'fake_a', 'fake_b']
    """

    players = {"generator": ["to_b", "to_a"], "critic": ["critic_a", "critic_b"]}
    feeds = Domains
    name = "cyclegan"
    title = "CycleGAN (translation between two domains without pairs)"
    teaches = (
        "Four networks learn together: a map from images of domain a to images of domain b, a map the other way, "
        "and for each domain a critic that tries to tell what is translated into it from what belongs there. "
        "Which image belongs to which is never shown: all that holds a translation to its original is the charge "
        "for what is lost on the way there and back. That leaves open which of the ways that lose nothing is "
        "found."
    )
    judged = "a domain and on what is translated into it"

    to_b: nn.Module
    to_a: nn.Module
    critic_a: nn.Module
    critic_b: nn.Module
    divergence: Divergence = LeastSquares()
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    cycle: float = 10.0
    identity: float = 0.0
    adversarial: float = 2.0
    pool: int = 50

    def __post_init__(self) -> None:
        for name in ("cycle", "identity", "adversarial"):
            check_range(vars(self)[name] >= 0, "it must be 0 or more", **{name: vars(self)[name]})
        if not self.cycle + self.adversarial:
            raise ValueError("`cycle` and `adversarial` are both 0, and nothing is left to learn from")
        self.pools = {"a": Pool(self.pool), "b": Pool(self.pool)}

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        a, b = s.x, s.other
        if b is None:
            raise UserError(
                f"{cls.__name__} translates between two data sets, and there is one; give the second in `target`."
            )
        critic_a, critic_b = (s.judge(domain, patches=True, packable=False) for domain in (a, b))
        return {"to_b": Map((a,), b), "to_a": Map((b,), a), "critic_a": critic_a, "critic_b": critic_b}

    def sample(self, *batch: Tensor) -> Joints:
        a, b = batch
        fake_b, fake_a = to_float32(self.to_b(a)), to_float32(self.to_a(b))  # G(a), F(b)
        joints: Joints = {"a": (a,), "b": (b,), "fake_a": (fake_a,), "fake_b": (fake_b,)}
        joints |= {"pooled_a": (self.pooled("a", fake_a),), "pooled_b": (self.pooled("b", fake_b),)}
        if self.cycle:  # F(G(a)), G(F(b))
            joints |= {"cycled_a": (to_float32(self.to_a(fake_b)),), "cycled_b": (to_float32(self.to_b(fake_a)),)}
        if self.cycle and self.identity:
            joints |= {"same_a": (to_float32(self.to_a(a)),), "same_b": (to_float32(self.to_b(b)),)}  # F(a), G(b)
        return joints

    def losses(self, joints: Joints) -> Outcome:
        generator = critic = joints["a"][0].new_zeros(())
        scores: dict[str, Tensor] = {}
        for domain, judge in (("a", self.critic_a), ("b", self.critic_b)):
            real, fake, pooled = joints[domain], joints[f"fake_{domain}"], joints[f"pooled_{domain}"]
            p, q_pooled = self.score(judge, real, pooled)
            (q,) = self.score(judge, fake)
            critic = critic + self.divergence.critic_loss(p, q_pooled)
            critic = critic + self.charge(real, pooled, f"critic_{domain}")
            if self.adversarial:
                generator = generator + self.adversarial * self.divergence.generator_loss(p, q)
            for name, weight in (("cycled", self.cycle), ("same", self.cycle * self.identity)):
                if f"{name}_{domain}" in joints:
                    generator = generator + weight * distance(joints[f"{name}_{domain}"][0], real[0])
            for name, score in ((domain, p), (f"fake_{domain}", q)):
                scores[name] = score.flatten(1).mean(1) if score.ndim > 1 else score
        return Outcome({"generator": generator, "critic": critic}, scores)

    def pooled(self, domain: str, fake: Tensor) -> Tensor:
        """What the critic of a domain is shown of the translations: out of the pool while that critic is being trained."""
        judge = self.critic_a if domain == "a" else self.critic_b
        trained = self.training and torch.is_grad_enabled() and any(p.requires_grad for p in judge.parameters())
        return self.pools[domain](fake) if trained else fake.detach()

    def memory(self) -> dict[str, Tensor]:
        return super().memory() | {f"pool_{domain}": pool.memory() for domain, pool in self.pools.items()}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        super().remember(memory)
        device = next(self.parameters()).device
        for domain, pool in self.pools.items():
            pool.remember(memory[f"pool_{domain}"].to(device))


def distance(x: Tensor, y: Tensor) -> Tensor:
    """The mean of |x - y| in pixels of [-1, 1], for pixels of [0, 1]."""
    return 2 * l1_loss(x, y)
