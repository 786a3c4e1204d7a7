"""Semi-supervised adversarially learned inference (ALI): its critic of pairs (x, z) is also a classifier of the
labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from interalia.contexts import autocast_off, normal_like, processes, to_float32
from interalia.errors import UserError, check_range
from interalia.games.ali import ALI, infer_and_decode
from interalia.games.feeds import PartlyLabeled
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass

PROBE_NORM = 0.1  # the norm of the random change of x at which the power iteration takes its gradient


def normalized(x: Tensor) -> Tensor:
    """Returns a batch with each sample scaled to Euclidean norm 1, of the shape of x; samples of norm 0 stay 0."""
    norms = x.flatten(1).norm(dim=1).clamp(min=1e-12)
    return x / norms.view(-1, *[1] * (x.ndim - 1))


@module_dataclass
class SemiALI(ALI):
    """Semi-supervised ALI: the critic classifies pairs (x, z) into K + 1 classes, the K labels and "decoded".

    A pair of data and inferred latents, (x, z^), belongs to one of the labels, and a generated pair (x~, z) is
    "decoded".

    The critic has logits l_1 .. l_K; the logit of "decoded" is fixed at 0, since a softmax has one free constant. The score
    is s = log sum_k exp(l_k), and P(encoded) = sigmoid(s). ALI's losses on s are thus those of the K + 1 classes for
    unlabeled and decoded pairs, and any divergence can replace them.

        critic:     ALI's loss on s + label_weight * (the cross-entropy of l on labeled pairs (x, z^))
                    + vat * (the mean over unlabeled x of KL(P(label | x, z^) || P(label | x + r, z^)))
        generator:  ALI's loss on s + cycle * (the mean over all numbers of x of (x - x^)^2)

    where z^ ~ q(z | x), x^ ~ p(x | z^), and r, of norm `radius`, is the change of x that changes the label
    probabilities most, by one step of power iteration.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.3)
        Improved Techniques for Training GANs, Tim Salimans and others, 2016, https://arxiv.org/abs/1606.03498 (K + 1 classes)
        Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised Learning, Takeru Miyato and
        others, 2018, https://arxiv.org/abs/1704.03976

    Arguments:
        encoder, decoder, prior: q(z | x), p(x | z) and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        sleep: the weight of the mean of (z - m(x~))^2 in the generator's loss, with m(x~) the mean of q(z | x~); 0 for
            none.
        critic: its method `logits` maps (x, z) to logits, shape (n, K), and calling it returns the score s, shape (n,).
        label_weight: the weight of the cross-entropy of the labeled pairs.
        cycle: the weight of ALICE's cycle-consistency loss, the mean of (x - x^)^2.
        vat: the weight of virtual adversarial training; 0 for none.
        radius: the norm of r.

    Raises:
        UserError: the critic has no logits.
    """

    feeds = PartlyLabeled
    name = "semi-ali"
    title = "semi-supervised ALI (the critic is also a classifier)"
    loss_weights = ("label_weight", "cycle", "vat")

    label_weight: float = 1.0
    cycle: float = 0.0
    vat: float = 0.0
    radius: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not getattr(self.critic, "classes", 0):
            raise UserError(
                "SemiALI needs a critic with one logit for each label; choose other `networks`, such as auto."
            )
        check_range(self.radius >= 0, "it is the norm of a change: 0 or more", radius=self.radius)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder" p(x | z), and "critic" of (x, z)
        with one logit for each label; the logit of "decoded" is fixed to 0.

        `settings`, the game's constructor arguments besides the networks, have no effect.

        Raises:
            UserError: the data have fewer than two labels.
        """
        if s.classes < 2:
            raise UserError(f"{cls.__name__} needs data with 2 labels or more; choose other data.")
        return {**super().needs(s, **settings), "critic": s.critic(s.x, s.z, classes=s.classes, packable=False)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z), x~ ~ p(x | z) and z_l ~ q(z | x_l) for a batch (x, x_l, y).

        y are the one-hot labels of the inputs x_l; x have no labels. z_l passes no gradient to the encoder.

        Returns:
            {"q": (x, z^), "p": (x~, z), "labeled": (x_l, z_l, y)}, and with `cycle` also "cycle": (x^, x), x^ ~ p(x |
                z^). With `sleep` there is also "sleep": (the mean of q(z | x~), z).
        """
        x, x_l, y = batch
        if self.sleep and len(x) != len(x_l) and processes.current().size > 1:
            raise UserError(
                f"with `sleep` and {len(x_l)} labeled rows beside {len(x)} others, several processes draw other noise than "
                f"one; give as many labeled examples as `batch_size` or more, leave `sleep` out, or train by one process, "
                f"without `shards`."
            )
        z = self.prior.sample((len(x),))  # z ~ p(z)
        inputs = torch.cat([x, x_l])  # one pass, so that batch norm normalizes them together
        both, x_tilde, pairs = infer_and_decode(
            self.encoder, self.decoder, inputs, z, sleep=self.sleep > 0, cycle=self.cycle > 0
        )
        z_hat, z_l = both.split([len(x), len(x_l)])  # z^ ~ q(z | x)
        return {"q": (x, z_hat), "labeled": (x_l, z_l.detach(), y), "p": (x_tilde, z), **pairs}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the divergence's losses of critic and generator for the score log sum_k exp(l_k), with further terms;
        l_k is the critic's logit of label k.

        To the critic's are added `label_weight` times the cross-entropy of labeled pairs and, in training mode, `vat`
        times the loss of virtual adversarial training. To the generator's are added `cycle` times the mean of
        (x^ - x)^2, and `sleep` times that of (z - m(x~))^2, with m(x~) the mean of q(z | x~). `joints` are the samples
        that `sample` returned.
        """
        *labeled, y = joints["labeled"]
        logits_q, logits_p, logits_l = self.score(self.critic.logits, joints["q"], joints["p"], labeled)  # type: ignore[arg-type]
        outcome = self.losses_of_scores(joints, {"q": logits_q.logsumexp(dim=1), "p": logits_p.logsumexp(dim=1)})
        outcome = outcome.with_losses(self.label_weight, critic=cross_entropy(logits_l, y))
        if self.vat and self.training and torch.is_grad_enabled():
            x, z_hat = joints["q"]
            outcome = outcome.with_losses(self.vat, critic=self.vat_loss(x, z_hat, logits_q))
        return self.with_squares(outcome, joints, cycle=self.cycle, sleep=self.sleep)

    def vat_loss(self, x: Tensor, z_hat: Tensor, logits: Tensor) -> Tensor:
        """Returns the loss of virtual adversarial training: the KL divergence of the label probabilities at x + r from
        those at x.

        It is a scalar, the mean over the batch. r is the change of x of norm `radius` that increases the KL divergence
        most, as found by one step of power iteration.

        Arguments:
            x: unlabeled inputs.
            z_hat: the latents inferred from them.
            logits: the critic's logits for the pairs (x, z_hat), shape (n, labels).
        """
        x, z_hat = x.detach(), z_hat.detach()

        def divergence_at(r: Tensor, logits: Tensor) -> Tensor:
            """Returns the mean of KL(P(label | x, z^) || P(label | x + r, z^)) over the batch, a scalar, for changes r
            of x and the logits of P(label | x, z^).
            """
            shifted, target = to_float32(self.critic.logits(x + r, z_hat)), logits.detach().softmax(dim=1)  # type: ignore[operator]
            return kl_div(shifted.log_softmax(dim=1), target, reduction="batchmean")

        r = normalized(normal_like(x, "adversarial")).mul(PROBE_NORM).requires_grad_()
        exact, rounds = logits, torch.is_autocast_enabled(x.device.type)
        with autocast_off(x):  # bfloat16 does not resolve a change of this size, nor what it changes
            x, z_hat = to_float32(x), to_float32(z_hat)
            if rounds:
                with torch.no_grad():
                    exact = self.critic.logits(x, z_hat)  # type: ignore[operator]
            (gradient,) = torch.autograd.grad(divergence_at(r, exact), r)
        return divergence_at(self.radius * normalized(gradient), logits)

    def classify(self, x: Tensor) -> Tensor:
        """Returns the probability of each label for x, shape (n, labels), given that the pair (x, z^) is not "decoded".

        z^ is the mean of q(z | x).
        """
        logits: Tensor = self.critic.logits(x, self.encoder(x).mean)  # type: ignore[operator]
        return logits.softmax(dim=1)
