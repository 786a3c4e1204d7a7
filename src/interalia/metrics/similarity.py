"""Similarity of images: structural similarity (SSIM) and peak signal-to-noise ratio (PSNR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from interalia.errors import UserError

SIDE, SIGMA = 11, 1.5  # size and standard deviation of the window
K1, K2 = 0.01, 0.03


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """The structural similarity (SSIM) of pairs of images, 1 if they are equal.

    It is the mean over all window positions of

        (2 mx my + c1) (2 sxy + c2) / ((mx^2 + my^2 + c1) (sx^2 + sy^2 + c2))

    with means m, variances s^2 and the covariance sxy under a Gaussian window of 11x11 pixels and standard deviation 1.5,
    c1 = 0.01^2, c2 = 0.03^2, in each channel separately, at the positions where the window lies inside the image.

    References:
        Image Quality Assessment: From Error Visibility to Structural Similarity, Zhou Wang, Alan C. Bovik, Hamid R.
        Sheikh, Eero P. Simoncelli, 2004, https://www.cns.nyu.edu/pub/eero/wang03-reprint.pdf

    Arguments:
        x: images in [0, 1], shape (n, channels, height, width), with sides of 11 or more pixels.
        y: the images to compare with, of the same shape.

    Returns:
        One value for each image, float64, shape (n,).

    Raises:
        UserError: the shapes differ, or the images are smaller than the window.

    Example:
        >>> x = torch.rand(2, 3, 16, 16)
        >>> structural_similarity(x, x)
        tensor([1., 1.], dtype=torch.float64)
    """
    if x.shape != y.shape or x.ndim != 4 or min(x.shape[2:]) < SIDE:
        what = f"the images have the shapes {tuple(x.shape)} and {tuple(y.shape)}"
        raise UserError(f"{what}; give one shape (n, channels, height, width), with sides of {SIDE} or more pixels.")
    x, y = x.double(), y.double()
    mx, my = local_mean(x), local_mean(y)
    xx, yy, xy = local_mean(x * x) - mx * mx, local_mean(y * y) - my * my, local_mean(x * y) - mx * my
    c1, c2 = K1**2, K2**2
    ssim = (2 * mx * my + c1) * (2 * xy + c2) / ((mx * mx + my * my + c1) * (xx + yy + c2))
    return ssim.mean(dim=(1, 2, 3))


def local_mean(x: Tensor) -> Tensor:
    """The Gaussian-weighted means of images over all windows of 11x11 pixels that lie inside them.

    The Gaussian's standard deviation is 1.5 pixels. Images have the shape (n, channels, height, width), and the result
    (n, channels, height - 10, width - 10).
    """
    offset = torch.arange(SIDE, dtype=x.dtype) - (SIDE - 1) / 2
    weights = torch.exp(-offset.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    channels = x.shape[1]
    across = functional.conv2d(x, weights.expand(channels, 1, 1, SIDE), groups=channels)
    return functional.conv2d(across, weights.view(SIDE, 1).expand(channels, 1, SIDE, 1), groups=channels)


def peak_signal_to_noise(x: Tensor, y: Tensor) -> float:
    """The peak signal-to-noise ratio of images with values in [0, 1], in dB; infinite if x and y are equal.

    It is 10 log10(1 / mean (x - y)^2), with the mean over all images together.

    Example:
        >>> round(peak_signal_to_noise(torch.zeros(4), torch.full((4,), 0.5)), 2)
        6.02
    """
    mse = float((x.double() - y.double()).square().mean())
    return -10 * math.log10(mse) if mse > 0 else math.inf
