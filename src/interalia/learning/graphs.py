"""What a game's autograd graph says: which leaves a loss reaches, and whether a critic scores each sample by itself.

Both answers are exact. They are read off the graph, or are a comparison with 0, so they hold in every precision and on every
processor.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interalia.contexts import device_of, own_random

if TYPE_CHECKING:
    from interalia.games.game import Game

ROWS = 8  # packs of a batch that `mixing` looks at
NOISE = 0.1  # how far it moves weights, a share of their size, and samples


def leaf(part: Tensor) -> Tensor:
    """`part` cut off what it comes from, as a leaf that wants a gradient; data as they are."""
    return part.detach().requires_grad_() if part.requires_grad else part


def reached(loss: Tensor, without: Iterable[Tensor] = ()) -> set[int]:
    """The `id` of every leaf to which a gradient of the loss can flow, other than through the tensors `without`.

    Example:
        >>> a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        >>> score = (a * b).sum()
        >>> reached(score + 1e-9 * b.sum(), [score]) == {id(b)}
        True
    """
    if loss.grad_fn is None:
        return {id(loss)} if loss.requires_grad else set()
    closed = {(tensor.grad_fn, tensor.output_nr) for tensor in without}
    found: set[int] = set()
    seen: set[Any] = set()
    edges: list[tuple[Any, int]] = [(loss.grad_fn, loss.output_nr)]
    while edges:
        node, output = edges.pop()
        if node is None or (node, output) in closed or node in seen:
            continue
        seen.add(node)  # which keeps it, and with it its identity
        if type(node).__name__ == "AccumulateGrad":
            found.add(id(node.variable))
        edges += node.next_functions
    return found


def mixing(game: Game, batch: Sequence[Tensor]) -> str | None:
    """In words why a score may depend on other samples than its own, with the joint that they are of; None if each score
    depends on one sample alone (or one pack), of those that the game's players make.

    It looks at a copy of the game in full precision, on a few rows of the batch, at the beginning, in the middle and at the
    end of training; the copy's critic has slightly moved weights, so that none is 0. For every pair of a score and a sample
    that is not its own the gradient is either exactly 0 or not: scores are weighted at random and summed over halves of all
    scores, so many that one of them separates each pair. Nothing of the game changes, and no random number of the training.

    Arguments:
        game: a game with a player "critic"; the scores of a joint belong to its samples in order.
        batch: of data, as the game is fed.
    """
    device = device_of(game)
    few = [part[: ROWS * game.pack] for part in batch]
    with own_random(device), torch.autocast(device.type, enabled=False):
        try:
            twin = copy.deepcopy(game)
        except (TypeError, RuntimeError) as error:  # it keeps an open file, or a tensor in the middle of a graph
            reason = str(error).splitlines()[0]
            return f"it cannot be copied, to see whether each score depends on one sample alone ({reason})"
        twin.penalty = None  # which has no part in a score
        with torch.no_grad():
            for p in twin.parameters_of("critic"):
                p.add_(NOISE * torch.where(p == 0, 1.0, p) * torch.randn_like(p))
        for step in range(3):
            twin.set_progress(step, 2)
            joints = twin.sample(*few)
            cut = {name: tuple(moved(part) for part in parts) for name, parts in joints.items()}
            scores = {name: s for name, s in twin.losses(cut).scores.items() if s.requires_grad}
            made = [(name, part) for name in scores for part in cut[name] if part.requires_grad]
            if (name := crossed(scores, made)) is not None:
                return f"a score of its critic depends on other samples of the joint {name!r} than its own"
    return None


def moved(part: Tensor) -> Tensor:
    """A leaf near `part`, or data as they are."""
    return leaf(part + NOISE * torch.randn_like(part)) if part.requires_grad else part


def crossed(scores: dict[str, Tensor], made: Sequence[tuple[str, Tensor]]) -> str | None:
    """The first joint of a leaf in `made`, (name of its joint, leaf), of which a row has a gradient of a score of others."""
    for name, part in made:
        if len(part) % len(scores[name]):
            return name
    sizes = [len(s) for s in scores.values()]
    numbers = dict(zip(scores, torch.arange(sum(sizes)).split(sizes), strict=True))
    for bit in range(max(1, (sum(sizes) - 1).bit_length())):
        for side in (0, 1):
            half = {name: ((n >> bit & 1) == side).to(scores[name].device) for name, n in numbers.items()}
            weights = [
                torch.randn_like(s) * half[name].view(-1, *[1] * (s.ndim - 1)).to(s.dtype) for name, s in scores.items()
            ]
            gradients = torch.autograd.grad(
                list(scores.values()), [part for _, part in made], weights, retain_graph=True, allow_unused=True
            )
            for (name, _), gradient in zip(made, gradients, strict=True):
                if gradient is not None:
                    others = gradient.reshape(len(scores[name]), -1)[~half[name]]
                    if bool((others.isfinite() & (others != 0)).any()):
                        return name
    return None
