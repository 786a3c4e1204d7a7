"""Semi-supervised ALI: the critic of pairs knows the classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from interalia.contexts import to_float32
from interalia.errors import UserError, check_range
from interalia.games.ali import ALI, PAIRS
from interalia.games.feeds import PartlyLabeled
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass

SMALL = 0.1  # the norm of the first change of x, at which the gradient is looked at


def unit(x: Tensor) -> Tensor:
    """Each member of a batch scaled to the norm 1."""
    norms = x.flatten(1).norm(dim=1).clamp(min=1e-12)
    return x / norms.view(-1, *[1] * (x.ndim - 1))


@module_dataclass
class SemiALI(ALI):
    """ALI whose critic answers K + 1 classes of a pair (x, z): the K labels, and "decoded".

    With l_1 .. l_K the critic's logits, and that of "decoded" fixed at 0, which a softmax leaves free, P(encoded) is
    sigmoid(s) of the score s = log sum_k exp(l_k); so ALI's losses on s are those of the K + 1 classes for unlabelled and
    decoded pairs, and any divergence can take their place.

        critic:     ALI's + label_weight * (the cross-entropy of l on labelled pairs (x, z^))
                    + vat * (the mean over unlabelled x of KL(P(label | x, z^) || P(label | x + r, z^)))
        generator:  ALI's + cycle * (the mean over all numbers of x of (x - x^)^2)

    where r of norm `radius` is the change of x that changes the labels most, found by one step of power iteration.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.2)
        Improved Techniques for Training GANs, Tim Salimans and others, 2016, https://arxiv.org/abs/1606.03498 (K + 1 classes)
        Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised Learning, Takeru Miyato and
        others, 2018, https://arxiv.org/abs/1704.03976

    Arguments:
        encoder, decoder, prior, divergence, penalty, noise, together: as in ALI.
        critic: answers `logits` of (x, z), shape (n, K), and calling it gives s, shape (n,).
        label_weight: of the cross-entropy.
        cycle: the weight of ALICE's round trip.
        vat: the weight of virtual adversarial training; 0 leaves it out.
        radius: the norm of its change of x.

    Raises:
        UserError: the critic has no logits.
    """

    feeds = PartlyLabeled
    name = "semi-ali"
    title = "semi-supervised ALI (adversarially learned inference whose critic knows the classes)"
    teaches = PAIRS + "The critic also tells the class of an input, for which it is shown the labels of a few of them."

    label_weight: float = 1.0
    cycle: float = 0.0
    vat: float = 0.0
    radius: float = 1.5

    def __post_init__(self) -> None:
        if not getattr(self.critic, "classes", 0):
            raise UserError(
                "SemiALI needs a critic that answers a logit for each label; choose other `networks`, such as auto."
            )
        check_range(self.radius >= 0, "it is the norm of a change: 0 or more", radius=self.radius)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        if s.classes < 2:
            raise UserError(f"{cls.__name__} reads labels, and there are fewer than 2; choose other data.")
        return {**super().needs(s, **settings), "critic": s.judge(s.x, s.z, classes=s.classes, packable=False)}

    def sample(self, *batch: Tensor) -> Joints:
        x, x_l, y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        both = self.encoder(torch.cat([x, x_l])).rsample()  # one pass, so that batch norm sees them mixed
        z_hat, z_l = both.split([len(x), len(x_l)])  # z^ ~ q(z | x)
        joints = {"q": (x, z_hat), "labelled": (x_l, z_l.detach(), y)}
        if not self.cycle:
            return {**joints, "p": (self.decoder(z).rsample(), z)}  # x~ ~ p(x | z)
        x_tilde, x_hat = self.decoder(torch.cat([z, z_hat])).rsample().chunk(2)
        return {**joints, "p": (x_tilde, z), "cycle": (x_hat, x)}

    def losses(self, joints: Joints) -> Outcome:
        *labelled, y = joints["labelled"]
        logits_q, logits_p, logits_l = self.score(self.critic.logits, joints["q"], joints["p"], labelled)  # type: ignore[arg-type]
        outcome = self.charged(joints, {"q": logits_q.logsumexp(dim=1), "p": logits_p.logsumexp(dim=1)})
        outcome = outcome.plus(self.label_weight, critic=cross_entropy(logits_l, y))
        if self.vat and self.training and torch.is_grad_enabled():
            x, z_hat = joints["q"]
            outcome = outcome.plus(self.vat, critic=self.smoothness(x, z_hat, logits_q))
        if self.cycle:
            x_hat, x = joints["cycle"]
            outcome = outcome.plus(self.cycle, generator=(x_hat - x).square().mean())
        return outcome

    def smoothness(self, x: Tensor, z_hat: Tensor, logits: Tensor) -> Tensor:
        """How far the labels of unlabelled x move under the worst small change of x: the charge of `vat`, a scalar."""
        x, z_hat, target = x.detach(), z_hat.detach(), logits.detach().softmax(dim=1)

        def moved(r: Tensor) -> Tensor:
            return kl_div(
                to_float32(self.critic.logits(x + r, z_hat)).log_softmax(dim=1), target, reduction="batchmean"
            )  # type: ignore[operator]

        r = unit(torch.randn_like(x)).mul(SMALL).requires_grad_()
        (worst,) = torch.autograd.grad(moved(r), r)
        return moved(self.radius * unit(worst))

    def classify(self, x: Tensor) -> Tensor:
        """The probability of each label, shape (n, labels), given that the pair (x, z^) is an encoded one."""
        logits: Tensor = self.critic.logits(x, self.encoder(x).mean)  # type: ignore[operator]
        return logits.softmax(dim=1)
