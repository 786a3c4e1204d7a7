"""What is done to the joints before a critic sees them: instance noise, and augmentations of images.

A disturbance acts at the cut between the joints and their critic, on all joints alike and on nothing else. So encoder and
decoder keep their task: q(z | x) is asked about the image as it is, and the critic judges (T(x), z^) against (T(x~), z),
with T drawn anew for each sample from one law. If that law can be undone, in the sense that no two laws of x become the same
law of T(x), then the disturbed joints are equal only where the joints themselves are, and the game ends where it would have
ended without; were x augmented before the encoder instead, p(x) itself would become the augmented one. Noise can be undone.

Each change of images is made with a probability p, and there are statistics of x, functions whose means tell any two laws of
x apart, each of which it multiplies by 1 - p + p m, or maps to a mixture of its like whose least factor is that. So it can be
undone where no m comes to -(1 - p) / p, which is -3/7 at p = 0.7:

    translation   products of functions of some pixels that are 0 at 0: the shifts mix one with its shifted copies, as a
                  convolution does whose m is the mean of cos(k t) over the shifts k of rows, times that over those of
                  columns; at least -1/3 for shifts of one pixel, and greater for longer ones
    cutout        the same products, one by one (one that meets the hole becomes 0): m is the probability that the hole
                  misses all of its pixels, 0 or more
    colour        waves of the mean, times powers of the contrast and of the saturation: m is a product of complex factors,
                  sin(t) / t, E[c^(is)] and E[c'^(is')], and abs(1 - p + p m) at least 0.14
    flip          functions that change their sign with left and right exchanged: m = 1 - 2 (2/5) = 1/5

These hold for images of every size. At p = 0.75 a shift of one pixel, that of sides of 4 to 11, hides a wave of one pixel; at
p = 1 a cutout of every image hides how the middle pixels hang together.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interalia.adversarial.divergences import auc
from interalia.errors import UserError, check_range
from interalia.registry import Registry

if TYPE_CHECKING:
    from interalia.networks.specs import Critic

BRIGHTNESS = 0.25  # the greatest change, in units of x in [0, 1]
SATURATION = 1.0  # the greatest change of the factor 1
CONTRAST = 0.5  # the greatest change of the factor 1
SHIFT = 1 / 8  # the greatest shift, a share of a side
TURNED = 0.4  # at a half an image and its mirror image would become one law, which cannot be undone
HOLE = 1 / 2  # a side of the square that is cut out, a share of a side
PROBABILITY = 0.7  # of a change: under 3/4, at which translation cannot be undone


class Disturbance(abc.ABC):
    """A random change of what a critic sees."""

    def fits(self, game: str, argument: str, critics: Sequence[Critic]) -> None:
        """Raises a UserError unless what the critics of a game see may be changed.

        Arguments:
            game: its name, for words.
            argument: which one of a run this is, for words.
            critics: what they are shown, and whether they are adversaries.
        """
        if not all(critic.adversarial for critic in critics):
            raise UserError(
                f"{game} reads log q(z | x) / p(z) off its critic, and of images that `{argument}` has changed it would be "
                f"another's; leave `{argument}` out."
            )

    def at(self, step: int, steps: int) -> None:
        """Hears where in training it is."""

    @abc.abstractmethod
    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """One batch of samples of a joint, changed, differentiably; x is its first part."""

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        """Hears the scores that the critic gave the data's joint and the fakes, and of how many images the first are."""

    def memory(self) -> dict[str, Tensor]:
        """What it carries from step to step: for checkpoints."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Takes over what `memory` gave."""


class InstanceNoise(Disturbance):
    """Adds N(0, s^2) to the x of a joint, s going linearly from `std` to `final`.

    Arguments:
        std: the standard deviation at the first step, in units of x.
        until: the share of training after which s is `final`.
        final: the standard deviation from there on; equal to `std`, it never changes.

    Raises:
        ValueError: one of them is out of its range.

    References:
        Amortised MAP Inference for Image Super-resolution, Casper Kaae Sonderby and others, 2017,
        https://arxiv.org/abs/1610.04490
    """

    def __init__(self, std: float = 0.1, until: float = 1.0, final: float = 0.0) -> None:
        holds = std >= 0 and final >= 0 and 0 < until <= 1
        check_range(holds, "they lie in [0, inf), [0, inf) and (0, 1]", std=std, final=final, until=until)
        self.std = self.level = std
        self.until = until
        self.final = final

    def at(self, step: int, steps: int) -> None:
        self.level = self.final + (self.std - self.final) * max(0.0, 1 - step / max(1.0, self.until * steps))

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, *rest = joint
        return (x + self.level * torch.randn_like(x) if self.level else x, *rest)


class ConstantNoise(InstanceNoise):
    """Adds N(0, `std`^2) to the x of a joint; see `InstanceNoise`, which it is with equal ends."""

    def __init__(self, std: float = 0.1) -> None:
        super().__init__(std, final=std)


# Changes of images x of shape (n, ..., channels, height, width), of which those are changed that are chosen, shape (n,); what
# lies between n and the channels are images of one sample, which are changed together.


def colour(x: Tensor, chosen: Tensor) -> Tensor:
    """Another brightness, saturation and contrast for each chosen image: b is added, what a pixel's channels differ from
    their mean by is multiplied by c', and what all pixels differ from theirs by, m, is multiplied by c:

        m + b + c (g - m) + c c' (x - g),   g the mean of a pixel's channels, b ~ U(-1/4, 1/4), c' ~ U(0, 2), c ~ U(1/2, 3/2)
    """
    brightness = BRIGHTNESS * spread(x, chosen)
    saturation = 1 + SATURATION * spread(x, chosen)
    contrast = 1 + CONTRAST * spread(x, chosen)
    gray = x.mean(dim=-3, keepdim=True)
    mean = gray.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    changed = mean + brightness + contrast * (gray - mean + saturation * (x - gray))
    return torch.where(chosen.view(brightness.shape), changed, x)


def translation(x: Tensor, chosen: Tensor) -> Tensor:
    """Each chosen image moved by whole pixels, all from -s to s equally likely, s an eighth of a side; 0 comes in."""
    places, inside = [], []
    for side in x.shape[-2:]:
        # (n, side): where each row or column comes from
        moved = torch.where(chosen, whole(x, -share(SHIFT, side), share(SHIFT, side)), 0)
        place = torch.arange(side, device=x.device) - moved.view(-1, 1)
        places.append(place.clamp(0, side - 1))
        inside.append(within(place, side))
    sample = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    taken = x.flatten(1, -3).permute(0, 2, 3, 1)[sample, places[0].unsqueeze(2), places[1].unsqueeze(1)]
    seen = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    return (taken * seen.unsqueeze(3)).permute(0, 3, 1, 2).reshape(x.shape)


def cutout(x: Tensor, chosen: Tensor) -> Tensor:
    """A rectangle of half the sides, centred anywhere in each chosen image and cut off by its border, set to 0."""
    hidden = []
    for side in x.shape[-2:]:
        size = share(HOLE, side)
        first = whole(x, 0, side - size % 2).view(-1, 1) - size // 2  # an even hole lies on the border of two pixels
        hidden.append(within(torch.arange(side, device=x.device) - first, size))
    hole = hidden[0].unsqueeze(2) & hidden[1].unsqueeze(1) & chosen.view(-1, 1, 1)
    return x.masked_fill(hole.view(len(x), *[1] * (x.ndim - 3), *x.shape[-2:]), 0.0)


def flip(x: Tensor, chosen: Tensor) -> Tensor:
    """Left and right exchanged in two fifths of the chosen images."""
    turned = chosen & (torch.rand(len(x), device=x.device) < TURNED)
    return torch.where(turned.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def spread(x: Tensor, chosen: Tensor) -> Tensor:
    """A number from [-1, 1) for each chosen image and 0 for the others, shape (n, 1, ...)."""
    drawn = 2 * torch.rand(len(x), device=x.device, dtype=x.dtype) - 1
    return torch.where(chosen, drawn, 0.0).view(-1, *[1] * (x.ndim - 1))


def whole(x: Tensor, low: int, high: int) -> Tensor:
    """A whole number from low to high for each image, all equally likely, shape (n,)."""
    return torch.randint(low, high + 1, (len(x),), device=x.device)


def share(part: float, side: int) -> int:
    """A part of a side in whole pixels, halves rounded up.

    Example:
        >>> share(1 / 8, 28), share(1 / 8, 11), share(1 / 2, 7)
        (4, 1, 4)
    """
    return int(part * side + 0.5)


def within(place: Tensor, size: int) -> Tensor:
    return (place >= 0) & (place < size)


CHANGES = {change.__name__: change for change in (colour, translation, cutout, flip)}


class Augmentation(Disturbance):
    """Differentiable augmentation: each image that the critic sees is changed at random, data and samples by one law.

    All images of one sample of a joint, as the two of ALICE's round trips, are changed together. The default policy with a
    probability of 1 is the published one, laws and order, but that what it lets in is 0 of [0, 1], black, where the authors'
    program has 0 of [-1, 1], gray. `flip` is not part of it.

    References:
        Differentiable Augmentation for Data-Efficient GAN Training, Shengyu Zhao and others, 2020,
        https://arxiv.org/abs/2006.10738

    Arguments:
        policy: the changes, in their order, with commas between them: colour, translation, cutout, flip.
        probability: of each change, for each sample; from 3/4 on a change may hide something of p(x) from the critic, as the
            published 1 does.

    Raises:
        ValueError: there is no such change, or no probability is.

    Example:
        >>> x, z = torch.zeros(4, 1, 8, 8), torch.zeros(4, 2)
        >>> changed = Augmentation(policy="colour")((x, z))
        >>> bool((changed[0] != x).any()), changed[1] is z
        (True, True)
    """

    def __init__(self, policy: str = "colour,translation,cutout", probability: float = PROBABILITY) -> None:
        names = [name.strip() for name in policy.split(",")]
        known = f"it is made of {', '.join(CHANGES)}, with commas between them"
        check_range(set(names) <= CHANGES.keys(), known, policy=policy)
        check_range(0 <= probability <= 1, "it lies in [0, 1]", probability=probability)
        self.policy = names
        self.probability = probability

    def fits(self, game: str, argument: str, critics: Sequence[Critic]) -> None:
        super().fits(game, argument, critics)
        if not any(space.is_image for critic in critics for space in critic.inputs):
            seen = " and ".join(critic.names for critic in critics)
            what = f"{game}'s critic sees {seen}, and no image" if critics else f"{game} has no critic"
            raise UserError(f"`{argument}` changes the images that a critic sees, and {what}; leave `{argument}` out.")

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        images = [part for part in joint if part.ndim == 4]
        if not images or not self.probability:
            return tuple(joint)
        x = torch.stack(images, dim=1)  # the images of one sample share their changes; colours have one mean
        for name in self.policy:
            x = CHANGES[name](x, torch.rand(len(x), device=x.device) < self.probability)
        changed = iter(x.unbind(1))
        return tuple(next(changed) if part.ndim == 4 else part for part in joint)


class AdaptiveAugmentation(Augmentation):
    """Augmentation whose probability p follows the critic: it grows while the critic is too sure of the data, and falls else.

    With r = 2 P(a score of the data's joint is above one of the model's) - 1, in [0, 1] for a critic that can tell, p moves
    by a step towards r = `target` with each batch: sign(r - target) * batch / `images`, within [0, 0.7], so that images that
    are not changed stay common enough for no change to leak into samples. The paper's r is the mean sign of the data's
    scores; this one has no unit and so serves all divergences.

    References:
        Training Generative Adversarial Networks with Limited Data, Tero Karras and others, 2020,
        https://arxiv.org/abs/2006.06676

    Arguments:
        policy: as in `Augmentation`.
        target: of r.
        images: how many images p takes from 0 to 1.

    Raises:
        ValueError: one of them is out of its range.
    """

    def __init__(
        self, policy: str = "flip,translation,colour,cutout", target: float = 0.6, images: int = 500_000
    ) -> None:
        super().__init__(policy, 0.0)
        holds = 0 < target < 1 and images >= 1
        check_range(holds, "they lie in (0, 1) and from 1 up", target=target, images=images)
        self.target = target
        self.images = images

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        r = 2 * auc(first, second) - 1
        step = images / self.images * (1 if r > self.target else -1)
        self.probability = min(PROBABILITY, max(0.0, self.probability + step))

    def memory(self) -> dict[str, Tensor]:
        return {"augmentation": torch.tensor(self.probability, dtype=torch.float64)}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        self.probability = float(memory["augmentation"])


class Disturbances(Disturbance):
    """Several, one after the other."""

    def __init__(self, parts: Sequence[Disturbance]) -> None:
        self.parts = list(parts)

    def at(self, step: int, steps: int) -> None:
        for part in self.parts:
            part.at(step, steps)

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for part in self.parts:
            joint = part(joint)
        return tuple(joint)

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        for part in self.parts:
            part.observe(first, second, images)

    def memory(self) -> dict[str, Tensor]:
        return {key: value for part in self.parts for key, value in part.memory().items()}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        for part in self.parts:
            part.remember(memory)


NOISES: Registry[Callable[..., Disturbance]] = Registry(
    "noises", {"annealed": InstanceNoise, "constant": ConstantNoise}, base=Disturbance
)
AUGMENTATIONS: Registry[Callable[..., Disturbance]] = Registry(
    "augmentations", {"fixed": Augmentation, "adaptive": AdaptiveAugmentation}, base=Disturbance
)
