"""Random changes of a critic's input ("disturbances"): instance noise, and differentiable augmentation of images.

A disturbance changes the samples of all joint distributions alike just before the critic, and nothing else. The encoder
takes the unchanged image x, and the critic compares (T(x), z^) with (T(x~), z), where z^ is inferred from x, x~ is
generated from z, and the random change T is drawn independently for each sample from one distribution. A disturbance is
called non-leaking (invertible) if different distributions of x stay different distributions of T(x). Then the changed
pairs have equal distributions only if the unchanged pairs have, and the optimum of the game does not change. If x were
augmented before the encoder, the model would learn the distribution of augmented x. Noise is non-leaking.

Each change of images is applied with probability p. To see whether it leaks, take functions h of x whose means
distinguish any two distributions of x. If the change turns h(x) into m h(x) on average, with a number m that depends on
h, it multiplies the mean of h by 1 - p + p m. The mean is lost only if this factor is 0, that is if m = -(1 - p) / p,
which is -3/7 at p = 0.7. If the change mixes several h, m is the smallest factor of a mixture. No change below has such
an m at p = 0.7:

    translation   h: products of functions of some pixels that are 0 at 0. The shifts mix a product with its shifted
                  copies, as a convolution does. m is the mean of cos(k t) over the shifts k of rows, times that over
                  those of columns, at a frequency t; at least -1/3 for shifts of one pixel, and greater for longer ones
    cutout        h: the same products. A product with a pixel in the hole becomes 0, so m is the probability that the
                  hole misses all of its pixels, 0 or more
    colour        h: complex waves of the mean of x, times powers of the contrast and of the saturation. m is a product
                  of the complex factors sin(t) / t, E[c^(is)] and E[c'^(is')] with the random contrast c and saturation
                  c', and abs(1 - p + p m) is at least 0.14
    flip          h: functions that are odd under the exchange of left and right. m = 1 - 2 (2/5) = 1/5

This holds for images of every size. At p = 0.75 the factor is 0 for shifts of one pixel, which images with sides of 4
to 11 pixels have, and for the pattern that alternates from pixel to pixel. At p = 1 a cutout of every image loses the
correlations between the middle pixels.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from interalia.adversarial.divergences import auc
from interalia.contexts import draw_noise, normal_like
from interalia.errors import UserError, check_range
from interalia.registry import Registry

if TYPE_CHECKING:
    from interalia.networks.specs import Critic

BRIGHTNESS = 0.25  # maximal change, in units of x in [0, 1]
SATURATION = 1.0  # maximal change of the factor 1
CONTRAST = 0.5  # maximal change of the factor 1
SHIFT_SHARE = 1 / 8  # maximal shift, a share of a side
FLIP_SHARE = 0.4  # at 1/2 an image and its mirror image would have the same distribution: leaking
CUTOUT_SHARE = 1 / 2  # side of the hole, a share of the image's side
PROBABILITY = 0.7  # of a change; at 3/4 translation begins to leak


class Disturbance(abc.ABC):
    """Base class of random changes of a critic's input during training, such as noise and augmentation."""

    def check_fits(self, game: str, argument: str, critics: Sequence[Critic]) -> None:
        """Raises a UserError if the game uses a critic's score as log q(z | x) / p(z), which a disturbance would
        change.

        Subclasses have further requirements on the critics.

        Arguments:
            game: the name of the game, for the error message.
            argument: the field of the run that configures the disturbance, such as "augment", for the error message.
            critics: the specifications of the game's critics.
        """
        if not all(critic.adversarial for critic in critics):
            raise UserError(
                f"{game} computes log q(z | x) / p(z) from its critic, and on images that `{argument}` has changed the ratio "
                f"is different; leave `{argument}` out."
            )

    def set_progress(self, step: int, steps: int) -> None:
        """Called when `step` of `steps` training steps are done, so that a schedule can set its present value; nothing
        by default.
        """

    @abc.abstractmethod
    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the randomly changed samples, differentiable with respect to the given ones.

        Arguments:
            joint: a batch of samples of one joint distribution, one tensor for each variable; the first is x.
        """

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        """Called with the critic's scores of each training step, from which an adaptive disturbance sets its strength;
        nothing by default.

        Arguments:
            first: the scores on the samples to score high, the data.
            second: the scores on the samples to score low, the generated ones.
            images: the number of images that `first` scores.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Returns name -> tensor, what a checkpoint needs to restore the disturbance; empty by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores the tensors in `state`, which `state_dict` returned."""


class InstanceNoise(Disturbance):
    """Annealed instance noise: adds N(0, s^2) to x, with s going linearly from `std` to `final`.

    Arguments:
        std: the standard deviation s at the first step, in units of x.
        until: the fraction of the training steps after which s is `final`, in (0, 1].
        final: s from there on; if equal to `std`, s is constant.

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

    def set_progress(self, step: int, steps: int) -> None:
        """Sets the noise's standard deviation for the time when `step` of `steps` training steps are done.

        It goes linearly from `std` to `final` in the first `until` * `steps` steps, and stays at `final` afterwards.
        """
        self.level = self.final + (self.std - self.final) * max(0.0, 1 - step / max(1.0, self.until * steps))

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the samples with x + s e in place of x, e ~ N(0, I), where s is the present standard deviation of the
        noise.

        `joint` is a batch of samples, one tensor for each variable, of which the first is x.
        """
        x, *rest = joint
        return (x + self.level * normal_like(x, "noise") if self.level else x, *rest)


class ConstantNoise(InstanceNoise):
    """Constant instance noise: adds N(0, `std`^2) to x.

    See Also:
        InstanceNoise, the same with `final=std`.
    """

    def __init__(self, std: float = 0.1) -> None:
        super().__init__(std, final=std)


# Changes of images x, shape (n, ..., channels, height, width), for the samples where `chosen`, shape (n,), is True. The
# dimensions between n and the channels hold the images of one sample, which all get the same change.


def colour(x: Tensor, chosen: Tensor) -> Tensor:
    """Returns the images x with a random brightness b, saturation c' and contrast c where `chosen` is True.

    With g the mean over a pixel's channels, and m the mean of g over all pixels, the changed image is

        m + b + c (g - m) + c c' (x - g),   b ~ U(-1/4, 1/4), c' ~ U(0, 2), c ~ U(1/2, 3/2)

    Arguments:
        x: images, shape (n, ..., channels, height, width).
        chosen: True for each of the n samples to change, shape (n,).
    """
    brightness = BRIGHTNESS * uniform_per_sample(x, chosen)
    saturation = 1 + SATURATION * uniform_per_sample(x, chosen)
    contrast = 1 + CONTRAST * uniform_per_sample(x, chosen)
    gray = x.mean(dim=-3, keepdim=True)
    mean = gray.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    changed = mean + brightness + contrast * (gray - mean + saturation * (x - gray))
    return torch.where(chosen.view(brightness.shape), changed, x)


def translation(x: Tensor, chosen: Tensor) -> Tensor:
    """Returns the images x, each shifted by a random number of pixels along both sides where `chosen` is True.

    The shift is uniform on the integers from -s to s, with s an eighth of the side, rounded. Pixels that come from
    outside of the image are 0.

    Arguments:
        x: images, shape (n, ..., channels, height, width).
        chosen: True for each of the n samples to change, shape (n,).
    """
    sources, inside = [], []
    for side in x.shape[-2:]:
        limit = pixels_of_share(SHIFT_SHARE, side)
        shift = torch.where(chosen, randint_per_sample(x, -limit, limit), 0)
        # (n, side): the row or column that each one is copied from
        source = torch.arange(side, device=x.device) - shift.view(-1, 1)
        sources.append(source.clamp(0, side - 1))
        inside.append(in_range(source, side))
    sample = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    shifted = x.flatten(1, -3).permute(0, 2, 3, 1)[sample, sources[0].unsqueeze(2), sources[1].unsqueeze(1)]
    mask = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    return (shifted * mask.unsqueeze(3)).permute(0, 3, 1, 2).reshape(x.shape)


def cutout(x: Tensor, chosen: Tensor) -> Tensor:
    """Returns the images x, with a random rectangle set to 0 where `chosen` is True.

    The rectangle has half of the image's height and width. Its center is uniform over the image, so that it may extend
    beyond the border.

    Arguments:
        x: images, shape (n, ..., channels, height, width).
        chosen: True for each of the n samples to change, shape (n,).
    """
    hidden = []
    for side in x.shape[-2:]:
        size = pixels_of_share(CUTOUT_SHARE, side)
        # the center of an even hole lies between two pixels
        first = randint_per_sample(x, 0, side - size % 2).view(-1, 1) - size // 2
        hidden.append(in_range(torch.arange(side, device=x.device) - first, size))
    hole = hidden[0].unsqueeze(2) & hidden[1].unsqueeze(1) & chosen.view(-1, 1, 1)
    return x.masked_fill(hole.view(len(x), *[1] * (x.ndim - 3), *x.shape[-2:]), 0.0)


def flip(x: Tensor, chosen: Tensor) -> Tensor:
    """Returns the images x, flipped from left to right with probability 2/5 where `chosen` is True.

    Arguments:
        x: images, shape (n, ..., channels, height, width).
        chosen: True for each of the n samples that may be flipped, shape (n,).
    """
    flipped = chosen & (draw_noise("augmentation", "uniform", x.shape[:1], x) < FLIP_SHARE)
    return torch.where(flipped.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)


def affine(x: Tensor) -> Tensor:
    """Returns the images x, shape (n, channels, height, width), each sampled at positions that a small random map moved.

    The map takes a position in the result to the position in x that is shown there, so that the content moves by its
    inverse. It scales both axes by factors of 0.85 to 1.15, shears by up to 0.3, turns by up to 15 degrees and shifts by up
    to 0.06 of a side, in this order about the center; all are uniform. Outside x are zeros. Gradients reach x.
    """
    every = torch.ones(len(x), dtype=torch.bool, device=x.device)
    limits = (math.radians(15.0), 0.3, 0.15, 0.15, 0.12, 0.12)  # the grid's coordinates go from -1 to 1
    angle, shear, wide, high, right, down = (limit * uniform_per_sample(x, every).flatten() for limit in limits)
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([cos * (1 + wide), (shear * cos - sin) * (1 + high), right], dim=1)
    second = torch.stack([sin * (1 + wide), (shear * sin + cos) * (1 + high), down], dim=1)
    grid = functional.affine_grid(torch.stack([first, second], dim=1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def uniform_per_sample(x: Tensor, chosen: Tensor) -> Tensor:
    """Returns a random number, uniform on [-1, 1), for each of the n samples in `x`, and 0 where `chosen` is False.

    The shape is (n, 1, ...), with as many dimensions as `x` has. `chosen` is a boolean tensor, shape (n,).
    """
    drawn = 2 * draw_noise("augmentation", "uniform", x.shape[:1], x) - 1
    return torch.where(chosen, drawn, 0.0).view(-1, *[1] * (x.ndim - 1))


def randint_per_sample(x: Tensor, low: int, high: int) -> Tensor:
    """Returns a random integer, uniform from `low` to `high` inclusive, for each of the n samples in `x`, shape
    (n,).
    """
    return draw_noise("augmentation", "random", x.shape[:1], x, low, high + 1)


def pixels_of_share(share: float, side: int) -> int:
    """Returns a fraction of an image's side in pixels, rounded to the nearest integer; halves are rounded up.

    Arguments:
        share: the fraction, such as 1/8.
        side: the height or width of the image in pixels.

    Example:
        >>> pixels_of_share(1 / 8, 28), pixels_of_share(1 / 8, 11), pixels_of_share(1 / 2, 7)
        (4, 1, 4)
    """
    return int(share * side + 0.5)


def in_range(index: Tensor, size: int) -> Tensor:
    """Returns True for each index from 0 to `size` - 1, and False for the others, of the shape of `index`."""
    return (index >= 0) & (index < size)


CHANGES = {change.__name__: change for change in (colour, translation, cutout, flip)}


class Augmentation(Disturbance):
    """DiffAugment: random differentiable augmentation of the critic's images, of data and of generated samples alike.

    All images of one sample, such as both of a pair (x, x^) in ALICE, get the same change. The default policy with
    probability 1 is the published one, with the same distributions and order. Pixels without a
    source or in the hole of a cutout become black here, and gray in the authors' program, whose images lie in [-1, 1]. The
    published policy has no `flip`.

    References:
        Differentiable Augmentation for Data-Efficient GAN Training, Shengyu Zhao and others, 2020,
        https://arxiv.org/abs/2006.10738

    Arguments:
        policy: the names of the changes in their order, separated by commas: colour, translation, cutout, flip.
        probability: the probability of each change, for each sample; from 3/4 on augmentations may leak into the
            generated samples, also at the published 1.

    Raises:
        ValueError: there is no such change, or the probability is not in [0, 1].

    Example:
        >>> x, z = torch.zeros(4, 1, 8, 8), torch.zeros(4, 2)
        >>> changed = Augmentation(policy="colour")((x, z))
        >>> bool((changed[0] != x).any()), changed[1] is z
        (True, True)
    """

    def __init__(self, policy: str = "colour,translation,cutout", probability: float = PROBABILITY) -> None:
        names = [name.strip() for name in policy.split(",")]
        known = f"it is a list of {', '.join(CHANGES)}, separated by commas"
        check_range(set(names) <= CHANGES.keys(), known, policy=policy)
        check_range(0 <= probability <= 1, "it lies in [0, 1]", probability=probability)
        self.policy = names
        self.probability = probability

    def check_fits(self, game: str, argument: str, critics: Sequence[Critic]) -> None:
        """Raises a UserError if a critic's score is used as log q(z | x) / p(z), or if no critic has an image among its
        inputs.

        Arguments:
            game: the name of the game, for the error message.
            argument: the field of the run that configures the augmentation, for the error message.
            critics: the specifications of the game's critics.
        """
        super().check_fits(game, argument, critics)
        if not any(space.is_image for critic in critics for space in critic.inputs):
            inputs = " and ".join(critic.names for critic in critics)
            reason = f"{game}'s critic has the input {inputs}, and no image" if critics else f"{game} has no critic"
            raise UserError(
                f"`{argument}` changes the images in a critic's input, and {reason}; leave `{argument}` out."
            )

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the samples after all changes that the field `policy` names, one after another.

        Each change is applied to each sample with the probability in the field `probability`, independently.

        Only images are changed, tensors of shape (n, channels, height, width). All images of one sample get the same
        change. `joint` is a batch of samples, one tensor for each variable.
        """
        images = [part for part in joint if part.ndim == 4]
        if not images or not self.probability:
            return tuple(joint)
        x = torch.stack(images, dim=1)  # the images of one sample share their changes
        for name in self.policy:
            x = CHANGES[name](x, draw_noise("augmentation", "uniform", x.shape[:1], x) < self.probability)
        changed = iter(x.unbind(1))
        return tuple(next(changed) if part.ndim == 4 else part for part in joint)


class AdaptiveAugmentation(Augmentation):
    """ADA (adaptive discriminator augmentation): its probability p rises while the critic's AUC is too high, else it falls.

    AUC is the probability that a score on the data exceeds one on the model's samples. With r = 2 AUC - 1, a batch of n
    images changes p by n / `images` if r is above `target`, else by -n / `images`, within [0, 0.7]. At p of 0.7 or less
    enough images stay unchanged for no augmentation to leak into the generated samples. The paper's r is the mean sign
    of the scores on the data; this r does not depend on their scale, and so suits all divergences.

    References:
        Training Generative Adversarial Networks with Limited Data, Tero Karras and others, 2020,
        https://arxiv.org/abs/2006.06676

    Arguments:
        policy: the names of the changes in their order, separated by commas: colour, translation, cutout, flip.
        target: the value of r above which p rises, in (0, 1).
        images: number of images in which p can go from 0 to 1.

    Raises:
        ValueError: one of them is out of its range.
    """

    def __init__(
        self, policy: str = "flip,translation,colour,cutout", target: float = 0.6, images: int = 500_000
    ) -> None:
        super().__init__(policy, 0.0)
        holds = 0 < target < 1 and images >= 1
        check_range(holds, "they lie in (0, 1) and [1, inf)", target=target, images=images)
        self.target = target
        self.images = images

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        """Raises the probability if 2 AUC - 1 of the critic's scores is above `target`, and lowers it otherwise.

        AUC is the probability that a score in `first` (on data) exceeds one in `second` (on generated samples). The
        probability changes by n / N, within [0, 0.7]: n is the argument `images` of this method, the number of images
        in `first`, and N the argument `images` of the constructor.
        """
        r = 2 * auc(first, second) - 1
        step = images / self.images * (1 if r > self.target else -1)
        self.probability = min(PROBABILITY, max(0.0, self.probability + step))

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the present probability under the key "augmentation", a float64 scalar."""
        return {"augmentation": torch.tensor(self.probability, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores the probability in `state`, which `state_dict` returned."""
        self.probability = float(state["augmentation"])


class Disturbances(Disturbance):
    """Several disturbances, applied one after another.

    Arguments:
        disturbances: the disturbances, in the order in which they change the critic's input.
    """

    def __init__(self, disturbances: Sequence[Disturbance]) -> None:
        self.disturbances = list(disturbances)

    def set_progress(self, step: int, steps: int) -> None:
        """Calls `set_progress` of each disturbance: `step` of `steps` training steps are done."""
        for one in self.disturbances:
            one.set_progress(step, steps)

    def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Returns the samples after all disturbances, each applied to the result of the one before.

        `joint` is a batch of samples, one tensor for each variable, of which the first is x.
        """
        for one in self.disturbances:
            joint = one(joint)
        return tuple(joint)

    def observe(self, first: Tensor, second: Tensor, images: int) -> None:
        """Calls `observe` of each disturbance with the critic's scores on data (`first`), a number of `images`, and on
        generated samples (`second`).
        """
        for one in self.disturbances:
            one.observe(first, second, images)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns name -> tensor, what a checkpoint needs to restore all disturbances, in one dictionary."""
        return {key: value for one in self.disturbances for key, value in one.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores the tensors in `state`, which `state_dict` returned, in each disturbance."""
        for one in self.disturbances:
            one.load_state_dict(state)


NOISES: Registry[Callable[..., Disturbance]] = Registry(
    "noises", {"annealed": InstanceNoise, "constant": ConstantNoise}, base=Disturbance
)
AUGMENTATIONS: Registry[Callable[..., Disturbance]] = Registry(
    "augmentations", {"fixed": Augmentation, "adaptive": AdaptiveAugmentation}, base=Disturbance
)
