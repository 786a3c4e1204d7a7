"""A committee of small ALICE models, trained side by side on different parts of the same rows, in one pass a step.

The weights of one layer of all models are one tensor, so that a step of all takes little longer than a step of one.
Losses, penalty and update scheme are those of the library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.contexts import flush_denormals, private_rng
from interalia.games import ALICE
from interalia.networks.mlp import MLP, PairCritic
from interalia.registry import make, registry

LEAK, DEPTH = 0.2, 2
CYCLE, PENALTY = 30.0, "r1r2(gamma=1.0, every=4)"  # the weight of the reconstruction loss; the penalty on the critic
RATE, DECAY, BATCH = 3e-3, 0.99, 64  # learning rate, decay of the averaged weights, and rows of each model in a batch


class SideBySide(nn.Module):
    """Fully connected networks of the same sizes, one for each model, with leaky ReLU and a linear output layer.

    With m models, row i of the input belongs to model i % m, and so does row i of the output. Several batches can thus
    be concatenated, as the losses of games do.

    Arguments:
        models: the number of networks.
        inputs, outputs: the dimensions of the input and of the output.
        width: the units of each of the two hidden layers.

    Example:
        >>> SideBySide(3, 4, 2, width=8)(torch.zeros(6, 4)).shape
        torch.Size([6, 2])
    """

    def __init__(self, models: int, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * DEPTH, outputs]
        bounds = [1 / math.sqrt(size) for size in sizes]
        pairs = list(zip(sizes, sizes[1:], bounds, strict=False))
        self.weights = nn.ParameterList(torch.empty(models, a, b).uniform_(-r, r) for a, b, r in pairs)
        self.biases = nn.ParameterList(torch.empty(models, 1, b).uniform_(-r, r) for _, b, r in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the outputs, shape (n, outputs), for x of shape (n, inputs); n is a multiple of the number of models."""
        *layers, (last, shift) = list(zip(self.weights, self.biases, strict=True))
        h = x.unflatten(0, (-1, len(last))).transpose(0, 1)
        for weight, bias in layers:
            h = leaky_relu(torch.baddbmm(bias, h, weight), LEAK, inplace=True)
        return torch.baddbmm(shift, h, last).transpose(0, 1).flatten(0, 1)

    @torch.no_grad()
    def model(self, index: int) -> MLP:
        """Returns the network of the model with this index as a separate `MLP`, with copies of the weights in float64."""
        inputs, width, outputs = self.weights[0].shape[1], self.weights[0].shape[2], self.weights[-1].shape[2]
        network = MLP(inputs, outputs, width, DEPTH, leak=LEAK).double()
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        for layer, weight, bias in zip(linear, self.weights, self.biases, strict=True):
            layer.weight.copy_(weight[index].t())
            layer.bias.copy_(bias[index, 0])
        return network


def alice(networks: Iterable[nn.Module], size: int, latent: int) -> ALICE:
    """Returns the game of these networks: ALICE with a relativistic loss, and the penalties R1 and R2 on the critic.

    Arguments:
        networks: the encoder, which maps x to the mean and the logarithm of the standard deviation of q(z | x), shape
            (n, 2 * latent); the decoder, which maps z to x; and the critic, which maps x and z, concatenated, to a score,
            shape (n, 1).
        size: the dimensions of x.
        latent: the dimensions of z.
    """
    prior, penalty = StandardNormal(latent), make(PENALTY, registry("penalties"), "penalty")
    divergence = make("relativistic", registry("divergences"), "divergence")
    encoder, decoder, critic = networks
    conditionals = Gaussian(encoder), Deterministic(decoder)
    game = ALICE(*conditionals, PairCritic(critic), prior, divergence=divergence, penalty=penalty, cycle=CYCLE)
    game.data = replace(game.data, shape=(size,))
    return game


def new_game(size: int, latent: int, width: int) -> ALICE:
    """Returns an untrained game in evaluation mode, in float64, for x of `size` numbers.

    Arguments:
        size: the dimensions of x.
        latent: the dimensions of z.
        width: the units of each hidden layer.
    """
    shapes = ((size, 2 * latent), (latent, size), (size + latent, 1))
    with private_rng(torch.device("cpu")):
        return alice((MLP(a, b, width, DEPTH, leak=LEAK) for a, b in shapes), size, latent).double().eval()


def batches(x: Tensor, parts: Tensor) -> Iterator[tuple[Tensor]]:
    """Yields endless batches: with m models, row i of a batch is a random one of the rows that model i % m is trained on.

    The rows of each model come in a random order, which is new in each epoch. The last rows of an epoch are left out
    if they do not fill a batch.

    Arguments:
        x: the rows, shape (n, d).
        parts: the indices of the rows that each model is trained on, shape (m, rows of one model).
    """
    count = parts.shape[1]
    size = min(BATCH, count)
    while True:
        order = torch.stack([rows[torch.randperm(count)] for rows in parts])
        for start in range(0, count - size + 1, size):
            yield (x[order[:, start : start + size].t().flatten()],)


def train(
    x: NDArray[np.float64], parts: NDArray[np.intp], steps: int, latent: int, width: int, seed: int
) -> list[ALICE]:
    """Trains one game for each model on its rows, and returns them in evaluation mode, in float64.

    Their weights are moving averages of those of the last steps. The global random state does not change.

    Arguments:
        x: the rows, standardized, shape (n, d).
        parts: the indices of the rows that each model is trained on, shape (m, rows of one model).
        steps: the number of training steps; 0 for untrained games.
        latent: the dimensions of z.
        width: the units of each hidden layer.
        seed: random seed.
    """
    count, size = len(parts), x.shape[1]
    with private_rng(torch.device("cpu"), seed), flush_denormals():
        shapes = ((size, 2 * latent), (latent, size), (size + latent, 1))
        game = alice((SideBySide(count, a, b, width) for a, b in shapes), size, latent).train()
        adam, simultaneous = registry("optimizers")["adam"], registry("dynamics")["simultaneous"]
        dynamics = simultaneous(game, {player: adam(game.parameters_of(player)) for player in game.players})
        schedule = registry("schedules")["cosine"]()
        feed = batches(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(parts))
        weights = [p.detach() for p in game.parameters()]  # they share the memory of the parameters
        average = [w.clone() for w in weights]
        for step in range(steps):
            game.set_progress(step, steps)
            for optimizer in dynamics.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = RATE * schedule(step / steps)
            dynamics.step(feed)
            torch._foreach_lerp_(average, weights, 1 - min(DECAY, (1 + step) / (10 + step)))
        for weight, mean in zip(weights, average, strict=True):
            weight.copy_(mean)
        networks: Any = (game.encoder.network, game.decoder.network, game.critic.joint)
        single = [alice((network.model(i) for network in networks), size, latent) for i in range(count)]
    return [one.double().eval() for one in single]
