"""DRAW's posterior: a recurrent encoder that reads patches of x and of its reconstruction so far, placed by
attention.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from interalia.conditionals.base import Conditional, limit_log_sigma
from interalia.conditionals.building_blocks import SampleAndLogProb, gaussian_log_prob
from interalia.contexts import normal_like, to_float32
from interalia.errors import UserError, check_range
from interalia.networks.draw import Attention, DrawDecoder, DrawIdentity
from interalia.networks.specs import Map
from interalia.spaces import Space


class Recurrent(Conditional):
    """DRAW's posterior, a recurrent encoder: each share z_t of z is conditioned on x and on the decoder's state after
    z_1, ..., z_{t-1}.

    For t = 1, ..., T,

        r_t = read(x, x - sigmoid(c_{t-1}), h_{t-1}),   h'_t = LSTM'([r_t, h_{t-1}], h'_{t-1})
        z_t ~ N(mu_t, diag sigma_t^2),   [mu_t, log sigma_t] = W h'_t
        h_t = LSTM(z_t, h_{t-1}),   c_t = c_{t-1} + write(h_t)

        log q(z | x) = sum_t log N(z_t; mu_t, diag sigma_t^2)

    h and c are the hidden state and the canvas of the decoder, and sigmoid(c_T) is the decoded image. h' is the hidden state
    of the encoder's LSTM', and W is a linear layer. `interalia.networks.draw.Attention` defines read and write. The `mean` of
    the distributions is z with each z_t = mu_t, not the true mean, which is unknown.

    References:
        DRAW: A Recurrent Neural Network For Image Generation, Karol Gregor, Ivo Danihelka, Alex Graves, Danilo Jimenez
        Rezende, Daan Wierstra, 2015, https://arxiv.org/abs/1502.04623

    Arguments:
        network: a `DrawIdentity`, as the family `draw` builds it; it returns x unchanged and stores the decoder's sizes.
        size: the dimensions of z.
        units: the dimensions of h', the hidden state of the encoder's LSTM.
        side: the side of the patches that are read, in pixels.

    Raises:
        ValueError: `units` is under 1, or `side` under 2.
        UserError: `network` is no `DrawIdentity`, or `forward` is called before `set_decoder`.

    Example:
        >>> from interalia.conditionals import Deterministic
        >>> from interalia.networks.draw import Draw
        >>> x, z, draw = Space("x", (1, 8, 8), "unit"), Space("z", (12,)), Draw(glimpses=4)
        >>> encoder = Recurrent(draw.make(Recurrent.required_map((x,), z)), 12)
        >>> encoder.set_decoder(Deterministic(draw.make(Deterministic.required_map((z,), x))))
        >>> encoder(torch.zeros(5, 1, 8, 8)).rsample().shape
        torch.Size([5, 12])
    """

    params_per_dim = 0  # the network returns x, and no parameters

    def __init__(self, network: nn.Module, size: int, units: int = 256, side: int = 5) -> None:
        super().__init__(network)
        check_range(units >= 1 and side >= 2, "they are 1 or more, and 2 or more", units=units, side=side)
        if not isinstance(network, DrawIdentity):
            raise UserError(
                "a recurrent encoder reads the state of DRAW's decoder, and these networks have no recurrent decoder; choose "
                "the `networks` draw, or another `encoder`, such as gaussian."
            )
        self.size = size
        self.units = units
        self.decoder_network: tuple[DrawDecoder, ...] = ()  # in a tuple, so that it is not registered as a sub-module
        self.attention = Attention(network.units, side, network.shape)
        self.cell = nn.LSTMCell(2 * network.shape[0] * side**2 + network.units, units)
        self.head = nn.Linear(units, 2 * (size // network.glimpses))

    @classmethod
    def required_map(cls, inputs: tuple[Space, ...], target: Space, **arguments: object) -> Map:
        """Returns the specification `Map(inputs, target, glimpses=True)`, from which the family `draw` builds a
        `DrawIdentity`.

        That network returns x, not z, and stores the sizes of DRAW's decoder; the encoder itself computes z step by step
        from x and from the decoder's state.

        Arguments:
            inputs: the spaces of the variables in the condition, i.e. x.
            target: the space of z.
            arguments: ignored.
        """
        return Map(inputs, target, glimpses=True)

    def set_decoder(self, decoder: Conditional) -> None:
        """Stores the network of the game's `decoder`, a `DrawDecoder`, whose state and canvas the encoder reads."""
        self.decoder_network = (decoder.network,)  # type: ignore[assignment]

    def check_ready(self) -> None:
        """Raises a UserError unless `set_decoder` was called."""
        if not self.decoder_network:
            raise UserError(
                "a recurrent encoder reads the state of DRAW's decoder, and there is none; use it as the encoder of a game "
                "with a likelihood, such as vae or avb, with the `networks` draw."
            )

    def forward(self, *c: Tensor) -> Distribution:
        """Returns the distribution over z = [z_1, ..., z_T] given x, a `SampleAndLogProb`, with batch shape (n,).

        Arguments:
            c: x, shape (n, channels, height, width).
        """
        self.check_ready()
        return self.distribution(self.network(*c))

    def distribution(self, x: Tensor) -> Distribution:
        """Returns the distribution over z = [z_1, ..., z_T], shape (n, size), given x, shape (n, channels, height,
        width).

        It is a `SampleAndLogProb`, whose functions each run encoder and decoder for T steps.
        """

        def density(value: Tensor) -> Tensor:
            """Returns log q(z | x), shape (n,), for any z = `value`, shape (n, size), and the x given to `distribution`."""
            parts = iter(value.chunk(self.decoder_network[0].glimpses, dim=1))
            return self.unroll(x, lambda mu, log_sigma: next(parts))[1]

        def draw() -> tuple[Tensor, Tensor]:
            """Draws z, shape (n, size), given the x of `distribution`, and returns it with log q(z | x), shape (n,)."""
            return self.unroll(x, lambda mu, log_sigma: mu + log_sigma.exp() * normal_like(mu))[:2]

        return SampleAndLogProb(x.new_empty(len(x), self.size), lambda: self.unroll(x, take_mean)[0], draw, density)

    def hidden(self, *c: Tensor) -> Tensor:
        """Returns the hidden state of the encoder's LSTM after the last step, shape (n, units), where each z_t is its
        mean mu_t.

        Arguments:
            c: x, shape (n, channels, height, width).
        """
        return self.unroll(self.network(*c), take_mean)[2]

    def unroll(self, x: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Runs encoder and decoder together for T steps; each step infers the next of T equal shares of z, and decodes it.

        Arguments:
            x: the image, shape (n, channels, height, width).
            choose: a function that returns the share of z of a step, such as a sample, given the mean and log sigma of its
                Gaussian, each of shape (n, d / T).

        Returns:
            The tuple of z, shape (n, d), log q(z | x), shape (n,), and the last hidden state of the encoder's LSTM, shape (n,
            units).
        """
        (drawer,) = self.decoder_network
        state = drawer.initial_state(len(x))
        h = cell = x.new_zeros(len(x), self.units)
        log_q = x.new_zeros(len(x))
        glimpses = []
        for _ in range(drawer.glimpses):
            h_decoder, _, canvas = state
            read = self.attention.read(h_decoder, x, x - canvas.sigmoid())
            inputs = torch.cat([*(to_float32(part).flatten(1) for part in read), h_decoder], dim=1)
            h, cell = map(to_float32, self.cell(inputs, (h, cell)))
            mu, log_sigma = to_float32(self.head(h)).chunk(2, dim=1)
            log_sigma = limit_log_sigma(log_sigma)
            z = choose(mu, log_sigma)
            log_q = log_q + gaussian_log_prob(z, mu, log_sigma)
            glimpses.append(z)
            state = drawer.step(state, z)
        return torch.cat(glimpses, dim=1), log_q, h


def take_mean(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """Returns the mean `mu` of a Gaussian, shape (n, d), in place of a sample from it; `log_sigma` is ignored."""
    return mu
