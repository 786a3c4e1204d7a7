"""Penalties on the critic: gradient penalties and weight clipping.

A penalty's weight may change during the training: `set_progress(step, steps)` sets it. It depends on the step alone, so
that a resumed run continues with the same penalty.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from interalia.contexts import draw_noise
from interalia.errors import check_range
from interalia.registry import Registry


class Penalty(abc.ABC):
    """Base class of penalties on a critic D: losses on the gradient of D with respect to its inputs, or limits of its
    weights.

    P is the joint distribution whose samples the critic should score high (the data), and Q the one whose samples it
    should score low (the model). The inputs of D are all variables of a sample: x, in ALI x and z, and in a conditional
    game also y, a one-hot label or attributes. The squared norm ||grad D||^2 is the sum over all inputs, y included.
    The samples are taken without noise or augmentation. In VAE/GAN, which has two kinds of generated samples, the
    samples of Q are those generated from the prior, not the reconstructions.

    Arguments:
        every: N: the penalty is computed in one of N training steps, and then multiplied by N (lazy regularization).
    """

    def __init__(self, every: int = 1) -> None:
        check_range(every >= 1, "it is a number of steps, 1 or more", every=every)
        self.every = every
        self.due = True

    def set_progress(self, step: int, steps: int) -> None:
        """Prepares the penalty for training step `step` of `steps`: it is computed in this step if the field `every`
        divides `step`.
        """
        self.due = step % self.every == 0

    def __call__(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns the penalty on a critic times the field `every`, a scalar; 0 in steps whose number is no multiple of
        `every`, and outside of training.

        Arguments:
            critic: the network D.
            p: one batch of samples of P, the distribution to score high, as one tensor for each input of the critic.
            q: one batch of samples of Q, the distribution to score low, as one tensor for each input of the critic.
        """
        if not (self.due and critic.training and torch.is_grad_enabled()):
            return p[0].new_zeros(())
        with torch.autocast(p[0].device.type, enabled=False):  # gradients of gradients need full precision
            return self.every * self.penalize(critic, p, q)

    @abc.abstractmethod
    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns the penalty on a critic, a scalar, without regard to `every`, which `__call__` takes into account.

        Arguments:
            critic: the network D.
            p: one batch of samples of P, the distribution to score high, as one tensor for each input of the critic.
            q: one batch of samples of Q, the distribution to score low, as one tensor for each input of the critic.
        """

    def after_step(self, critic: nn.Module) -> None:
        """Called after each optimizer step of the critic, to change its weights in place, as weight clipping does;
        nothing by default.
        """


def squared_gradients(critic: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Returns ||grad D||^2 for each score of a critic D, the squared gradient summed over all of its inputs, shape
    (n,) for n scores.

    If D scores several samples together, as in PacGAN, the sum is over all samples that share the score.

    Arguments:
        critic: D, which returns scores of shape (n,), each of one sample or of several together.
        inputs: the samples at which the gradient is taken, one tensor for each input of the critic.
    """
    inputs = [part.detach().requires_grad_() for part in inputs]
    scores = critic(*inputs)
    gradients = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return torch.stack([g.reshape(len(scores), -1).square().sum(1) for g in gradients]).sum(0)


class R1(Penalty):
    """R1: the zero-centered gradient penalty (gamma / 2) E_P ||grad D||^2 of a critic D, with P the distribution of the data.

    A large gamma keeps the critic smooth and the generator on all modes; a small one lets the critic use detail. With
    `final` the weight falls geometrically over the training, as gamma (final / gamma)^t with t from 0 to 1.

    References:
        Which Training Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018,
        https://arxiv.org/abs/1801.04406
        The GAN is dead; long live the GAN! A Modern GAN Baseline, Yiwen Huang and others, 2024,
        https://arxiv.org/abs/2501.05441 (a gamma that falls)

    Arguments:
        gamma: the weight; the initial one if `final` is given.
        every: N: the penalty is computed in one of N training steps, and then multiplied by N.
        final: the weight at the last step, or None for a constant one.

    Raises:
        ValueError: `gamma` is under 0, or `final` is given and one of the two is not above 0.
    """

    def __init__(self, gamma: float = 1.0, every: int = 1, final: float | None = None) -> None:
        super().__init__(every)
        check_range(gamma >= 0, "a penalty has a weight of 0 or more", gamma=gamma)
        falls = final is None or (gamma > 0 and final > 0)
        check_range(falls, "a schedule needs both above 0", gamma=gamma, final=final)
        self.gamma = self.weight = gamma
        self.final = final

    def set_progress(self, step: int, steps: int) -> None:
        """Sets the field `weight` for training step `step` of `steps`: gamma (final / gamma)^(step / steps), or gamma
        if `final` is None. In steps that the field `every` does not divide, the penalty is not computed.
        """
        super().set_progress(step, steps)
        if self.final is not None:
            self.weight = self.gamma * (self.final / self.gamma) ** (step / max(1, steps))

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns half the field `weight` times the mean of ||grad D||^2 of the critic D over samples `p` of the data,
        a scalar.

        The samples `q` of the model are not used.
        """
        return self.weight / 2 * squared_gradients(critic, p).mean()


class R2(R1):
    """R2: the zero-centered gradient penalty (gamma / 2) E_Q ||grad D||^2 of a critic D, with Q the model's distribution.

    References:
        Which Training Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018,
        https://arxiv.org/abs/1801.04406

    Arguments:
        gamma, every, final: the weight; N, if the penalty is computed in one of N steps and multiplied by N; and the
            weight at the last step, to which it falls geometrically, or None for a constant one.
    """

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns half the field `weight` times the mean of ||grad D||^2 of the critic D over samples `q` of the model,
        a scalar.

        The samples `p` of the data are not used.
        """
        return super().penalize(critic, q, p)


class R1R2(R1):
    """R1 + R2: the zero-centered gradient penalty (gamma / 2) (E_P ||grad D||^2 + E_Q ||grad D||^2) of a critic D.

    P is the distribution of the data and Q that of the model; both are scored in one pass.

    References:
        The GAN is dead; long live the GAN! A Modern GAN Baseline, Yiwen Huang and others, 2024,
        https://arxiv.org/abs/2501.05441

    Arguments:
        gamma, every, final: the weight; N, if the penalty is computed in one of N steps and multiplied by N; and the
            weight at the last step, to which it falls geometrically, or None for a constant one.
    """

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns half the field `weight` times the sum of two means of ||grad D||^2 of the critic D, a scalar.

        One is over samples `p` of the data, the other over samples `q` of the model.
        """
        squares = squared_gradients(critic, [torch.cat(parts) for parts in zip(p, q, strict=True)])
        size = (len(p[0]) + len(q[0])) // len(squares)  # samples that share a score
        on_p, on_q = squares.split([len(p[0]) // size, len(q[0]) // size])
        return self.weight / 2 * (on_p.mean() + on_q.mean())


class WGANGP(Penalty):
    """WGAN-GP: the one-centered gradient penalty weight E (||grad D|| - 1)^2 of a critic D, at random points between P and Q.

    P is the distribution of the data and Q that of the model. One random number gives the point on the line between two
    samples, in all inputs of D. In a conditional game both samples have the same y, which is interpolated to itself;
    the gradient in y is part of the norm.

    References:
        Improved Training of Wasserstein GANs, Ishaan Gulrajani and others, 2017, https://arxiv.org/abs/1704.00028

    Arguments:
        weight: the weight of the penalty, 0 or more.
        every: N: the penalty is computed in one of N training steps, and then multiplied by N.

    Raises:
        ValueError: `weight` is under 0.
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        super().__init__(every)
        check_range(weight >= 0, "a penalty has a weight of 0 or more", weight=weight)
        self.weight = weight

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns the field `weight` times the mean of (||grad D|| - 1)^2 of the critic D, a scalar, at random points
        between `p` and `q`.

        The i-th point lies on the line between the i-th samples of the data (`p`) and of the model (`q`).
        """
        t = draw_noise("penalty", "uniform", p[0].shape[:1], p[0])
        interpolates = [a + t.view(-1, *[1] * (a.ndim - 1)) * (b - a) for a, b in zip(p, q, strict=True)]
        norms = (squared_gradients(critic, interpolates) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()


class WeightClip(Penalty):
    """WGAN's weight clipping: clips the critic's weights to [-bound, bound] after each of its optimizer steps; adds no
    loss.

    References:
        Wasserstein GAN, Martin Arjovsky, Soumith Chintala, Leon Bottou, 2017, https://arxiv.org/abs/1701.07875

    Arguments:
        bound: the largest absolute value of a weight, above 0.

    Raises:
        ValueError: `bound` is not above 0.
    """

    def __init__(self, bound: float = 0.01) -> None:
        super().__init__()
        check_range(bound > 0, "it must be above 0", bound=bound)
        self.bound = bound

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns 0, a scalar tensor, for all arguments: clipping adds no loss."""
        return p[0].new_zeros(())

    @torch.no_grad()
    def after_step(self, critic: nn.Module) -> None:
        """Clips all parameters of the critic to [-bound, bound], in place; the field `bound` is above 0."""
        for parameter in critic.parameters():
            parameter.clamp_(-self.bound, self.bound)


class Dragan(Penalty):
    """DRAGAN: the one-centered gradient penalty weight E (||grad D|| - 1)^2 of a critic D, at randomly shifted samples
    of the data.

    The gradient is taken at x + scale * std * U[0, 1) for samples x of the data. It keeps the critic smooth near the
    data. std is the standard deviation of an input over all numbers of the batch. In a conditional game y is an input,
    and is shifted too.

    References:
        On Convergence and Stability of GANs, Naveen Kodali and others, 2017, https://arxiv.org/abs/1705.07215

    Arguments:
        weight: the weight of the penalty, 0 or more.
        scale: the size of the shift in standard deviations, 0 or more.
        every: N: the penalty is computed in one of N training steps, and then multiplied by N.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, weight: float = 10.0, scale: float = 0.5, every: int = 1) -> None:
        super().__init__(every)
        check_range(weight >= 0 and scale >= 0, "they are 0 or more", weight=weight, scale=scale)
        self.weight = weight
        self.scale = scale

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """Returns the field `weight` times the mean of (||grad D|| - 1)^2 of the critic D, a scalar, at randomly
        shifted samples `p`.

        `p` are samples of the data, shifted in each number by `scale` times the standard deviation of the input times
        U[0, 1). `q`, samples of the model, are not used.
        """
        shifts = [draw_noise("penalty", "uniform", part.shape, part) for part in p]
        near = [part + self.scale * part.detach().std() * shift for part, shift in zip(p, shifts, strict=True)]
        norms = (squared_gradients(critic, near) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()


REGISTRY: Registry[Callable[..., Penalty]] = Registry(
    "penalties",
    {"r1": R1, "r2": R2, "r1r2": R1R2, "wgan-gp": WGANGP, "dragan": Dragan, "weight-clip": WeightClip},
    base=Penalty,
)
