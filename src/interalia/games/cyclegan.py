"""CycleGAN: translation between two domains of images, learned without pairs of an image and its translation."""

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
    """CycleGAN: unpaired translation by two maps, G: a -> b and F: b -> a, with a critic of each domain and a cycle loss.

    a and b are images of the two domains.

    L_b(b, G(a)) is the divergence's generator loss for the scores of domain b's critic on b and G(a); L_a that of domain a.
    |.| is the mean over all numbers, for pixels in [-1, 1] as in the paper (here images lie in [0, 1], so each distance
    counts twice). The generator's loss is

        adversarial (L_b(b, G(a)) + L_a(a, F(b)))
        + cycle (|F(G(a)) - a| + |G(F(b)) - b|)
        + cycle identity (|G(b) - b| + |F(a) - a|)

    and each critic's loss is that of the divergence between its domain and a pool of past translations. With least squares
    and `adversarial=2` these are the paper's losses: the library's least squares have a factor 1/2, the paper's generator
    loss has none. Critics may score patches; losses are means over all of them.

    The paper updates the generator and then the critics, on translations from before the generator's update. Both gradients
    are taken at one point, which is the simultaneous update of both players. A pool is used and updated only while its
    critic is trained. If the players are updated in turn, the generator's forward pass does not use it.

    See Also:
        ALICE, which has the same cycle between x and z, with the prior as one of the two domains.

    References:
        Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Jun-Yan Zhu and others, 2017,
        https://arxiv.org/abs/1703.10593

    Arguments:
        to_b, to_a: G and F, each mapping images to images of the other domain.
        critic_a, critic_b: map an image to scores, shape (n,) or (n, height, width), unbounded.
        divergence: the adversarial loss.
        penalty: a penalty on each critic's gradient (of the sum of an image's scores), or None.
        noise: instance noise or augmentation of the critics' inputs, or None.
        cycle: the weight of the cycle-consistency loss; with 0 there are only two GANs.
        identity: the weight of the identity loss, as a multiple of `cycle`: a map should not change images of its target.
            The paper has 0.5 for paintings to photographs, to keep the colors, and 0 elsewhere.
        adversarial: the weight of the adversarial loss of the generator; with 0 only the cycle and identity losses remain.
        pool: number of past translations that are stored for each critic; 0 to train it on new ones only.

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
            raise ValueError(
                "`cycle` and `adversarial` are both 0, so that the generator has no loss; set one of them above 0"
            )
        self.pools = {"a": Pool(self.pool), "b": Pool(self.pool)}

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the maps "to_b" (a -> b) and "to_a" (b -> a), and of the critics "critic_a"
        and "critic_b".

        The critics may return one score for each patch of an image. `settings`, the game's constructor arguments
        besides the networks, have no effect.

        Raises:
            UserError: there is no second domain.
        """
        a, b = s.x, s.other
        if b is None:
            raise UserError(
                f"{cls.__name__} translates between two data sets, and there is one; give the second in `data_b`, "
                f"or a folder with trainA and trainB in `data`."
            )
        critic_a, critic_b = (s.critic(domain, patches=True, packable=False) for domain in (a, b))
        return {"to_b": Map((a,), b), "to_a": Map((b,), a), "critic_a": critic_a, "critic_b": critic_b}

    def sample(self, *batch: Tensor) -> Joints:
        """Translates a batch (a, b) in both directions, by G: a -> b and F: b -> a; nothing is drawn from a prior.

        Returns:
            For domain a, each as a tuple of one tensor: "a": a, "fake_a": F(b), "pooled_a": new or past F(b) for the
                critic.
            With `cycle` also "cycled_a": F(G(a)), and with `cycle` and `identity` "same_a": F(a).
            For domain b accordingly "b", "fake_b", "pooled_b", "cycled_b" and "same_b".
        """
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
        """Returns the loss of "generator", the maps in both directions, that of "critic", the sum over both critics,
        and scores.

        The generator's is the weighted sum of its adversarial, cycle-consistency and identity losses. The scores are
        those on the images "a" and "b", and on the translations "fake_a" into domain a and "fake_b" into
        domain b. They are averaged over the patches of an image, shape (n,). `joints` are the tensors that `sample`
        returned.
        """
        generator = critic = joints["a"][0].new_zeros(())
        scores: dict[str, Tensor] = {}
        for domain, network in (("a", self.critic_a), ("b", self.critic_b)):
            real, fake, pooled = joints[domain], joints[f"fake_{domain}"], joints[f"pooled_{domain}"]
            p, q_pooled = self.score(network, real, pooled)
            (q,) = self.score(network, fake)
            critic = critic + self.divergence.critic_loss(p, q_pooled)
            critic = critic + self.penalize(real, pooled, f"critic_{domain}")
            if self.adversarial:
                generator = generator + self.adversarial * self.divergence.generator_loss(p, q)
            for name, weight in (("cycled", self.cycle), ("same", self.cycle * self.identity)):
                if f"{name}_{domain}" in joints:
                    generator = generator + weight * distance(joints[f"{name}_{domain}"][0], real[0])
            for name, score in ((domain, p), (f"fake_{domain}", q)):
                scores[name] = score.flatten(1).mean(1) if score.ndim > 1 else score
        return Outcome({"generator": generator, "critic": critic}, scores)

    def pooled(self, domain: str, fake: Tensor) -> Tensor:
        """Returns the translations that the critic of one domain is trained on, detached, of the shape of `fake`.

        While the critic is trained they come from its pool, which returns past translations in place of some new ones.
        Otherwise they are the new ones.

        Arguments:
            domain: "a" or "b".
            fake: new translations into this domain.
        """
        trainable = any(p.requires_grad for p in self.get_submodule(f"critic_{domain}").parameters())
        trained = self.training and torch.is_grad_enabled() and trainable
        return self.pools[domain](fake) if trained else fake.detach()

    def extra_state(self) -> dict[str, Tensor]:
        """Returns name -> tensor, besides the weights, for a checkpoint: "pool_a", "pool_b" and, with adaptive
        augmentation, its state.

        The first two are the past translations in the pools of both critics, shape (m, ...).
        """
        pools = {f"pool_{domain}": pool.state_dict()["samples"] for domain, pool in self.pools.items()}
        return super().extra_state() | pools

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the tensors in `state`, which `extra_state` returned; the pools are moved to the device of the
        networks.
        """
        super().load_extra_state(state)
        device = next(self.parameters()).device
        for domain, pool in self.pools.items():
            pool.load_state_dict({"samples": state[f"pool_{domain}"].to(device)})


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Returns 2 times the mean of |x - y|, a scalar: for pixels in [0, 1] the mean distance on the scale of [-1, 1]."""
    return 2 * l1_loss(x, y)
