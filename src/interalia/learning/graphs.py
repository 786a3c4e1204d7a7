"""Properties of a game's autograd graph: the leaves that a loss depends on, and scores that depend on other samples.

Both are found without a tolerance, from the graph or by a comparison with 0, in every precision and on every processor.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interalia.contexts import device_of, private_rng

if TYPE_CHECKING:
    from interalia.games.game import Game

ROWS = 8  # samples of a batch, or packs of samples, that `sample_mixing` uses
NOISE = 0.1  # standard deviation of its noise on weights, relative to their size, and on samples


def as_leaf(tensor: Tensor) -> Tensor:
    """Returns the tensor, detached from its graph, as a leaf that requires a gradient; the leaf shares its memory.

    A tensor that requires no gradient is returned itself.
    """
    return tensor.detach().requires_grad_() if tensor.requires_grad else tensor


def reachable_leaves(loss: Tensor, without: Iterable[Tensor] = ()) -> set[int]:
    """Finds the leaves to which the gradient of a loss flows on a path of the autograd graph that avoids certain tensors.

    Arguments:
        loss: a scalar, or another tensor, whose elements are then summed.
        without: the tensors to avoid; by default none.

    Returns:
        The `id` of each such leaf.

    Example:
        >>> a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        >>> score = (a * b).sum()
        >>> reachable_leaves(score + 1e-9 * b.sum(), [score]) == {id(b)}
        True
    """
    if loss.grad_fn is None:
        return {id(loss)} if loss.requires_grad else set()
    closed = {(tensor.grad_fn, tensor.output_nr) for tensor in without}
    seen: set[Any] = set()
    edges: list[tuple[Any, int]] = [(loss.grad_fn, loss.output_nr)]
    while edges:
        node, output = edges.pop()
        if node is None or (node, output) in closed or node in seen:
            continue
        seen.add(node)
        edges += node.next_functions
    return {id(node.variable) for node in seen if type(node).__name__ == "AccumulateGrad"}


def sample_mixing(game: Game, batch: Sequence[Tensor]) -> str | None:
    """Tests whether a score of the critic depends on other generated samples than its own, as with batch norm in the
    critic.

    Scores depend on their own samples alone if the gradient of each score in all other samples is exactly 0. If the critic
    scores several samples together, as in PacGAN, these count as one sample.

    To test all pairs with few gradients, randomly weighted scores of half of the samples are summed, and the gradient
    in the other half must be 0; the halves are chosen so that each pair of samples is separated by one of them. The
    test uses a copy of the game in float32 and 8 samples of the batch. It is made three times, with the copy's schedules,
    such as that of instance noise, set to the start, the middle and the end of training. Noise is added to the critic's
    weights in the copy, so that none is 0. The game and the random state of the training stay unchanged.

    Arguments:
        game: a game with a player "critic"; the scores of a joint distribution are in the order of its samples.
        batch: the tensors of one batch of training data.

    Returns:
        None if every score depends on its own sample alone, and on weights of the critic alone. Otherwise a clause for an
        error message: it names a joint distribution in which a score depends on another sample too, or states that a score
        depends on weights of another network beside its sample, that samples depend on weights of the critic, or that the
        game cannot be copied for the test.
    """
    device = device_of(game)
    few = [part[: ROWS * game.pack] for part in batch]
    with private_rng(device), torch.autocast(device.type, enabled=False):
        try:
            twin = copy.deepcopy(game)
        except (TypeError, RuntimeError) as error:  # it holds an open file, or a tensor that is no leaf
            reason = str(error).splitlines()[0]
            return f"it cannot be copied for the check that each score depends on one sample alone ({reason})"
        twin.penalty = None  # no part of a score
        with torch.no_grad():
            for p in twin.parameters_of("critic"):
                p.add_(NOISE * torch.where(p == 0, 1.0, p) * torch.randn_like(p))
        for step in range(3):
            twin.set_progress(step, 2)
            joints = twin.sample(*few)
            cut = {name: tuple(perturbed_leaf(part) for part in parts) for name, parts in joints.items()}
            scores = {name: s for name, s in twin.losses(cut).scores.items() if s.requires_grad}
            if not scores.keys() <= cut.keys():
                return f"its scores are of {', '.join(scores)}, and its samples of {', '.join(cut) or 'nothing'}"
            made = [(name, part) for name in scores for part in cut[name] if part.requires_grad]
            samples = [part for parts in joints.values() for part in parts]
            if (crossed := crossing(twin, samples, list(scores.values()))) is not None:
                return crossed
            if (name := first_mixed_joint(scores, made)) is not None:
                return f"a score of its critic depends on other samples of the joint {name!r} than its own"
    return None


def crossing(game: Game, samples: Sequence[Tensor], scores: Sequence[Tensor]) -> str | None:
    """Returns a clause that names a gradient which is lost if samples are detached before the critic scores them, or None.

    It is lost if a score depends on weights of other players than the critic beside its sample, or samples on the critic's.

    Arguments:
        game: a game with a player "critic".
        samples: all samples of one batch, with the graph in which they were generated.
        scores: the critic's scores of these samples, after they were detached.
    """
    judges = {id(p) for p in game.parameters_of("critic")}
    others = {id(p) for player in game.players if player != "critic" for p in game.parameters_of(player)}
    if any(reachable_leaves(score) & others for score in scores):
        return "a score of its critic depends on weights of another network beside its sample"
    if any(reachable_leaves(sample) & judges for sample in samples):
        return "its samples depend on weights of its critic"
    return None


def perturbed_leaf(tensor: Tensor) -> Tensor:
    """Returns a leaf that requires a gradient: the tensor plus Gaussian noise of standard deviation 0.1.

    A tensor that requires no gradient is returned itself, without noise.
    """
    return as_leaf(tensor + NOISE * torch.randn_like(tensor)) if tensor.requires_grad else tensor


def first_mixed_joint(scores: dict[str, Tensor], generated: Sequence[tuple[str, Tensor]]) -> str | None:
    """Finds the first joint distribution in which a score depends on a generated sample other than its own.

    It depends on one if its gradient with respect to that sample is not 0.

    Arguments:
        scores: name of the joint distribution -> the scores of its samples, shape (n, ...).
        generated: pairs of the name of a joint distribution and generated samples, a leaf of the graph of the scores, shape
            (n * k, ...) if k samples get one score.

    Returns:
        The name of the joint distribution, or None if there is none.
    """
    for name, part in generated:
        if len(part) % len(scores[name]):
            return name
    sizes, leaves = [len(s) for s in scores.values()], [part for _, part in generated]
    numbers = dict(zip(scores, torch.arange(sum(sizes)).split(sizes), strict=True))
    for bit, side in itertools.product(range(max(1, (sum(sizes) - 1).bit_length())), (0, 1)):
        half = {name: ((n >> bit & 1) == side).to(scores[name].device) for name, n in numbers.items()}
        weights = [scale_samples(torch.randn_like(s), half[name]) for name, s in scores.items()]
        outputs = list(scores.values())
        gradients = torch.autograd.grad(outputs, leaves, weights, retain_graph=True, materialize_grads=True)
        for (name, _), gradient in zip(generated, gradients, strict=True):
            others = gradient.reshape(len(scores[name]), -1)[~half[name]]
            if bool((others.isfinite() & (others != 0)).any()):
                return name
    return None


def scale_samples(tensor: Tensor, factor: Tensor) -> Tensor:
    """Multiplies each sample by its factor; with n factors, the first k of n * k samples get the first factor, and so on.

    Arguments:
        tensor: samples, shape (n * k, ...).
        factor: shape (n,).

    Returns:
        The products, of the shape and dtype of `tensor`.
    """
    each = factor.repeat_interleave(len(tensor) // len(factor))
    return tensor * each.view(-1, *[1] * (tensor.ndim - 1)).to(tensor.dtype)
