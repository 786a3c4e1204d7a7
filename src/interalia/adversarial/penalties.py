"""Penalties on the critic's gradient.

Each is told where in training it is by `at(step, steps)`, so that its state is a function of the step and a resumed
run meets the same one.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from interalia.errors import check_range
from interalia.registry import Registry


class Penalty(abc.ABC):
    """A charge on the critic's gradient with respect to its inputs.

    These are all parts of a joint: x, in ALI x and z, and in a conditional game y too, a label's one-hot vector or
    attributes, in which the critic's slope is charged as it is in x. The samples are those that a game names P and Q,
    undisturbed by noise or augmentation; of VAE/GAN's two kinds of fakes Q is the samples x~, never the reconstructions.

    Arguments:
        every: the penalty is computed at every so many steps, and multiplied by that number to make up for it.
    """

    def __init__(self, every: int = 1) -> None:
        check_range(every >= 1, "it counts steps: 1 or more", every=every)
        self.every = every
        self.due = True

    def set_progress(self, step: int, steps: int) -> None:
        self.due = step % self.every == 0

    def __call__(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """The charge for a critic, given samples of P and of Q; zero at the steps in between."""
        if not (self.due and critic.training and torch.is_grad_enabled()):
            return p[0].new_zeros(())
        with torch.autocast(p[0].device.type, enabled=False):  # the gradient of a gradient deserves full precision
            return self.every * self.penalize(critic, p, q)

    @abc.abstractmethod
    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        """The penalty, a scalar."""

    def after_step(self, critic: nn.Module) -> None:
        """Hears that the critic has moved."""


def squared_gradients(critic: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """||grad_inputs D||^2 for each score, over all of the critic's inputs together, shape (n,); for a critic that is shown
    several samples at a time, over all of these."""
    inputs = [part.detach().requires_grad_() for part in inputs]
    scores = critic(*inputs)
    gradients = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return torch.stack([g.reshape(len(scores), -1).square().sum(1) for g in gradients]).sum(0)


class R1(Penalty):
    """Zero-centred, on P: (gamma / 2) E_P ||grad D||^2, the gradient taken in every input: in ALI in both x and z, and in a
    conditional game in y too.

    A large gamma keeps the critic smooth, and the generator on all modes; a small one lets the critic see detail. With
    `final` it falls from the one to the other, geometrically over the training: gamma (final / gamma)^t, t from 0 to 1.

    References:
        Which Training Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018,
        https://arxiv.org/abs/1801.04406
        The GAN is dead; long live the GAN! A Modern GAN Baseline, Yiwen Huang and others, 2024,
        https://arxiv.org/abs/2501.05441 (a gamma that falls)

    Arguments:
        gamma: the weight, at the first step where there is a `final` one.
        every: see `Penalty`.
        final: the weight at the last step, or None.

    Raises:
        ValueError: `gamma` is under 0, or `final` is given and one of the two is not above 0.
    """

    def __init__(self, gamma: float = 1.0, every: int = 1, final: float | None = None) -> None:
        super().__init__(every)
        check_range(gamma >= 0, "a charge on gradients has a weight of 0 or more", gamma=gamma)
        falls = final is None or (gamma > 0 and final > 0)
        check_range(falls, "to fall from the one to the other both are above 0", gamma=gamma, final=final)
        self.gamma = self.weight = gamma
        self.final = final

    def set_progress(self, step: int, steps: int) -> None:
        super().set_progress(step, steps)
        if self.final is not None:
            self.weight = self.gamma * (self.final / self.gamma) ** (step / max(1, steps))

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return self.weight / 2 * squared_gradients(critic, p).mean()


class R2(R1):
    """Zero-centred, on Q: (gamma / 2) E_Q ||grad D||^2.

    References:
        Which Training Methods for GANs do actually Converge?, Lars Mescheder, Andreas Geiger, Sebastian Nowozin, 2018,
        https://arxiv.org/abs/1801.04406
    """

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return super().penalize(critic, q, p)


class R1R2(R1):
    """Zero-centred, on both: (gamma / 2) (E_P ||grad D||^2 + E_Q ||grad D||^2), in one pass over both joints.

    References:
        The GAN is dead; long live the GAN! A Modern GAN Baseline, Yiwen Huang and others, 2024,
        https://arxiv.org/abs/2501.05441
    """

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        squares = squared_gradients(critic, [torch.cat(parts) for parts in zip(p, q, strict=True)])
        size = (len(p[0]) + len(q[0])) // len(squares)  # samples that share a score
        on_p, on_q = squares.split([len(p[0]) // size, len(q[0]) // size])
        return self.weight / 2 * (on_p.mean() + on_q.mean())


class WGANGP(Penalty):
    """One-centred, on straight lines between samples of P and Q: weight E (||grad D|| - 1)^2, for Wasserstein games.

    One place on the line a sample, for all of its parts. In a conditional game both ends have one y, which stays, and in
    which the gradient is taken as well.

    References:
        Improved Training of Wasserstein GANs, Ishaan Gulrajani and others, 2017, https://arxiv.org/abs/1704.00028
    """

    def __init__(self, weight: float = 10.0, every: int = 1) -> None:
        super().__init__(every)
        check_range(weight >= 0, "a charge on gradients has a weight of 0 or more", weight=weight)
        self.weight = weight

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        t = torch.rand(len(p[0]), device=p[0].device)
        lines = [a + t.view(-1, *[1] * (a.ndim - 1)) * (b - a) for a, b in zip(p, q, strict=True)]
        norms = (squared_gradients(critic, lines) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()


class WeightClip(Penalty):
    """No charge, but a box: after each move of the critic its weights are clipped to [-bound, bound], WGAN's way of
    keeping it Lipschitz.

    References:
        Wasserstein GAN, Martin Arjovsky, Soumith Chintala, Leon Bottou, 2017, https://arxiv.org/abs/1701.07875
    """

    def __init__(self, bound: float = 0.01) -> None:
        super().__init__()
        check_range(bound > 0, "it must be above 0", bound=bound)
        self.bound = bound

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return p[0].new_zeros(())

    @torch.no_grad()
    def after_step(self, critic: nn.Module) -> None:
        for parameter in critic.parameters():
            parameter.clamp_(-self.bound, self.bound)


class Dragan(Penalty):
    """One-centred, around samples of P: weight E (||grad D|| - 1)^2 at each part of P moved by scale * std * U[0, 1), std its
    standard deviation, so that the critic is smooth where the data is.

    The standard deviation is that of the batch, over all numbers of the part. In a conditional game y is a part, and moved
    too.

    References:
        On Convergence and Stability of GANs, Naveen Kodali and others, 2017, https://arxiv.org/abs/1705.07215

    Arguments:
        weight: of the charge, 0 or more.
        scale: how far the samples are moved, in standard deviations, 0 or more.
        every: steps from one charge to the next, which is so many times as large.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, weight: float = 10.0, scale: float = 0.5, every: int = 1) -> None:
        super().__init__(every)
        check_range(weight >= 0 and scale >= 0, "they are 0 or more", weight=weight, scale=scale)
        self.weight = weight
        self.scale = scale

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        near = [part + self.scale * part.detach().std() * torch.rand_like(part) for part in p]
        norms = (squared_gradients(critic, near) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()


REGISTRY: Registry[Callable[..., Penalty]] = Registry(
    "penalties",
    {"r1": R1, "r2": R2, "r1r2": R1R2, "wgan-gp": WGANGP, "dragan": Dragan, "weight-clip": WeightClip},
    base=Penalty,
)
