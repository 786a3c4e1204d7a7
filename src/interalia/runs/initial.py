"""Initial weights of a game from those of another run, layer by layer, wherever the shapes fit.

A layer is a module with a weight of two or more dimensions and the modules without one that follow it, such as its batch
norm. Layers of two runs are aligned within each branch of a network, such as the convolutions of the encoder's body, in their
order, so that a network for larger images, which has more layers, gets those that it shares with a smaller one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interalia.errors import UserError
from interalia.runs.folder import INITIAL, Folder, header, initial_file, read_weights

if TYPE_CHECKING:
    from interalia.games import Game
    from interalia.runs import Run

Layer = dict[str, str]  # name of a tensor without that of the layer, such as "0.weight" -> the tensor's full name
SHOWN = 3  # layers that are named in a line of text


@dataclass(frozen=True)
class Initial:
    """The origin of the initial weights of a game, layer by layer.

    Attributes:
        source: the path of the other run, or of its file of weights.
        game: the name of the model that they were trained in.
        data: the name or path of the data that they were trained on.
        step: the number of training steps of that run.
        digest: the SHA-256 digest of its weights, in hexadecimal.
        taken: name of a layer of the game -> the name of the layer whose weights it has.
        left: name of a layer of the game that keeps its random weights -> the reason.
    """

    source: str
    game: str
    data: str
    step: int
    digest: str
    taken: dict[str, str]
    left: dict[str, str]

    def lines(self) -> list[str]:
        """Returns one or two lines of text: how many layers of each network were taken, and which ones were not, and why."""
        networks = dict.fromkeys(name.partition(".")[0] for name in sorted(self.taken | self.left))
        counts = []
        for network in networks:
            count, left = (
                sum(name.partition(".")[0] == network for name in names) for names in (self.taken, self.left)
            )
            counts.append(f"{network} {count} of {count + left}")
        total = len(self.taken) + len(self.left)
        found = [
            f"Initial weights from {self.source} ({self.game} on {self.data}, step {self.step:,}): {len(self.taken)} of "
            f"{total} layers ({', '.join(counts)})."
        ]
        if self.left:
            named = "; ".join(f"{name}: {why}" for name, why in list(self.left.items())[:SHOWN])
            more = len(self.left) - SHOWN
            rest = f"; and {more} more, which run.json lists" if more > 0 else ""
            found.append(f"With random weights: {named}{rest}.")
        return found


def start_from(run: Run, game: Game, folder: Folder | None = None) -> Initial:
    """Copies the weights of the run that `run.init_from` names into a game, in place, wherever the shapes of layers fit.

    Networks that the game got pretrained keep their weights. The global random state does not change.

    Arguments:
        run: the run, whose `init_from` is the folder of another run or a file of weights.
        game: the untrained game of the run.
        folder: the folder of the run; if it has a digest of the initial weights, they must be the same again.

    Raises:
        UserError: there is no such run, it has no weights yet, or its file is damaged or has changed; or no layer fits.
    """
    file = initial_file(run.init_from or "")
    try:
        about = header(file)
        tensors = read_weights(file, about)
    except UserError as error:
        raise UserError(f"the weights to start from cannot be read: {error}") from None
    known = None if folder is None else (folder.extra(INITIAL) or {}).get("digest")
    if known not in (None, about.get("digest")):
        raise UserError(
            f"{file} has other weights than those that this run was started from; restore that file, or train a new run."
        )
    own = {k: v for k, v in game.state_dict().items() if k.partition(".")[0] not in game.pretrained}
    taken, pairs, left = match(own, tensors)
    if not any(own[name].ndim > 1 for name in taken):
        first = next(iter(left.items()), ("", "it has no layers"))
        raise UserError(
            f"no layer of {file} fits this game ({first[0]}: {first[1]}); leave `init_from` out, or give a run with the same "
            f"`networks` and `latent_dim`."
        )
    with torch.no_grad():
        for name, source in taken.items():
            own[name].copy_(tensors[source])
    kept = about["run"]
    words = str(kept.get("game", "a game")), Path(str(kept.get("data", ""))).name
    return Initial(str(run.init_from), *words, about["step"], str(about.get("digest", "")), pairs, left)


def match(
    own: Mapping[str, Tensor], others: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Finds the layers of one set of networks that have the shapes of layers of another set.

    Arguments:
        own: the tensors of the networks that get weights, by name.
        others: the tensors of the networks that have them, by name.

    Returns:
        Three dictionaries: name of a tensor in `own` -> the name of the tensor in `others` that fits it; name of a layer in
        `own` -> the name of its layer in `others`; and the name of each layer in `own` that has none -> the reason.

    Example:
        >>> a, b = torch.zeros(2, 3), torch.zeros(3, 3)
        >>> match({"f.0.weight": a, "f.1.weight": b}, {"f.0.weight": b})
        ({'f.1.weight': 'f.0.weight'}, {'f.1': 'f.0'}, {'f.0': 'shape (2, 3), and there (3, 3)'})
    """
    taken, matched, left = dict[str, str](), dict[str, str](), dict[str, str]()
    branches = layers(others)
    for branch, mine in layers(own).items():
        theirs = branches.get(branch, [])
        names = {layer_name(layer): shapes(layer, others) for layer in theirs}
        pairs = aligned([shapes(layer, own) for layer in mine], [shapes(layer, others) for layer in theirs])
        for i, layer in enumerate(mine):
            name = layer_name(layer)
            if i in pairs:
                taken |= {tensor: theirs[pairs[i]][key] for key, tensor in layer.items()}
                matched[name] = layer_name(theirs[pairs[i]])
            else:
                left[name] = reason(shapes(layer, own), names.get(name))
    return taken, matched, left


def reason(mine: Mapping[str, tuple[int, ...]], theirs: Mapping[str, tuple[int, ...]] | None) -> str:
    """Returns why a layer is not taken from another run, a phrase such as "no such layer there".

    Arguments:
        mine: the shapes of the tensors of the layer, by name.
        theirs: those of the layer with its name in the other run; None if there is none.
    """
    if theirs is None:
        return "no such layer there"
    for key, shape in sorted(mine.items(), key=lambda item: -len(item[1])):  # weights before biases
        if key not in theirs:
            return f"no {key.rpartition('.')[2]} there"
        if theirs[key] != shape:
            return f"shape {shape}, and there {theirs[key]}"
    return "there with other parameters" if theirs.keys() != mine.keys() else "at another place there"


def layers(tensors: Mapping[str, Tensor]) -> dict[str, list[Layer]]:
    """Returns name of a branch -> its layers in order. Modules whose names differ in numbers alone are of one branch.

    The name of a branch is that of its modules without the numbers. A layer is a dictionary: name of a tensor relative to the
    layer, such as "0.weight" -> its full name.

    Arguments:
        tensors: the tensors of the networks, by name.
    """
    found: dict[str, list[Layer]] = {}
    heads: dict[str, str] = {}  # branch -> the module that its last layer begins with
    weighted = {layer_of(name) for name, tensor in tensors.items() if tensor.ndim > 1}
    for name in sorted(tensors, key=order):
        module = layer_of(name)
        branch = re.sub(r"\.\d+", "", module)
        if branch not in heads or (module in weighted and heads[branch] != module):
            found.setdefault(branch, []).append({})
            heads[branch] = module
        offset = place(module) - place(heads[branch])
        found[branch][-1][f"{offset}.{name.removeprefix(module + '.')}"] = name
    return found


def order(name: str) -> list[tuple[int, str]]:
    """Returns the key that sorts names of tensors by the numbers in them, such as "0.9.bias" before "0.10.bias"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def layer_of(name: str) -> str:
    """Returns the name of the module that a tensor belongs to; a parametrized weight belongs to the module with the weight.

    Example:
        >>> layer_of("critic.x.0.weight"), layer_of("critic.x.0.parametrizations.weight.original")
        ('critic.x.0', 'critic.x.0')
    """
    return name.partition(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]


def layer_name(layer: Layer) -> str:
    """Returns the name of the module that a layer begins with."""
    return layer_of(next(iter(layer.values())))


def place(module: str) -> int:
    """Returns the last number in the name of a module, its place among its siblings; 0 without a number."""
    numbers = re.findall(r"\d+", module)
    return int(numbers[-1]) if numbers else 0


def shapes(layer: Layer, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the tensors of a layer, by their names without that of the layer."""
    return {key: tuple(tensors[name].shape) for key, name in layer.items()}


def aligned(mine: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Returns the longest alignment of two sequences of layers with equal shapes that keeps their order.

    It is a dictionary: index of a layer in the first sequence -> index of its layer in the second. Among alignments of
    equal length, layers at equal indices are preferred.

    Arguments:
        mine: the shapes of the tensors of each layer, by name.
        theirs: the same of the other sequence.

    Example:
        >>> aligned([{"w": (1,)}, {"w": (2,)}, {"w": (3,)}], [{"w": (2,)}, {"w": (3,)}])
        {1: 0, 2: 1}
    """
    best = [[(0, 0)] * (len(theirs) + 1) for _ in range(len(mine) + 1)]  # (length, equal indices) of the rest
    for i in reversed(range(len(mine))):
        for j in reversed(range(len(theirs))):
            length, same = best[i + 1][j + 1]
            fits = [(length + 1, same + (i == j))] if mine[i] == theirs[j] else []
            best[i][j] = max([best[i + 1][j], best[i][j + 1], *fits])
    found, i, j = {}, 0, 0
    while i < len(mine) and j < len(theirs):
        if mine[i] == theirs[j] and best[i][j] == (best[i + 1][j + 1][0] + 1, best[i + 1][j + 1][1] + (i == j)):
            found[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found
