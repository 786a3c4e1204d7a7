"""The networks of DRAW: a recurrent decoder that adds patches to a canvas, at places that attention selects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interalia.contexts import to_float32
from interalia.errors import UserError, check_range
from interalia.networks.family import FEATURES, Family
from interalia.networks.layers import FieldModule, module_dataclass
from interalia.networks.perceptrons import Perceptrons
from interalia.networks.specs import Critic, Map
from interalia.registry import Repeats, Width
from interalia.spaces import Space

DrawState = tuple[Tensor, Tensor, Tensor]  # h and cell of the LSTM, (n, units), and the canvas, (n, *x.shape)


class Attention(nn.Module):
    """Attention that reads or writes a patch of N x N pixels of an image by a grid of Gaussian filters, one for each
    pixel.

    The hidden state h of an LSTM determines the place and the size of the grid.

    The image x has height B and width A. F_x and F_y are the filters along its two sides. A linear map of h gives the
    center (g_x, g_y) of the grid, the variance sigma^2 of the filters, the distance delta of their centers mu, and the
    factor gamma by which the patch is multiplied:

        g_x~, g_y~, log sigma^2, log delta~, log gamma = W h
        g_x = (A + 1)/2 (g_x~ + 1),   g_y = (B + 1)/2 (g_y~ + 1),   delta = (max(A, B) - 1)/(N - 1) delta~
        mu_x^i = g_x + (i - N/2 - 1/2) delta,   F_x[i, a] = exp(-(a - mu_x^i)^2 / (2 sigma^2)) / Z_i,   sum_a F_x[i, a] = 1

    and F_y likewise; i counts the filters from 1, a counts the pixels from 1, and Z_i normalizes filter i.

    References:
        DRAW: A Recurrent Neural Network For Image Generation, Karol Gregor and others, 2015,
        https://arxiv.org/abs/1502.04623 (section 3.2)

    Arguments:
        units: the dimensions of h.
        side: N, the number of filters along each side of the image, 2 or more.
        shape: the shape of an image, (channels, height, width).

    Example:
        >>> attention = Attention(4, 3, (1, 8, 6))
        >>> h = torch.zeros(2, 4)
        >>> attention.read(h, torch.ones(2, 1, 8, 6))[0].shape, attention.write(h, torch.ones(2, 1, 3, 3)).shape
        (torch.Size([2, 1, 3, 3]), torch.Size([2, 1, 8, 6]))
    """

    def __init__(self, units: int, side: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.side = side
        self.shape = shape
        self.where = nn.Linear(units, 5)

    def filters(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (F_y, F_x, gamma): the filters along the height, shape (n, N, height), those along the width, shape
        (n, N, width), and the factor by which a patch is multiplied, shape (n, 1, 1, 1).

        Arguments:
            h: the hidden state of the LSTM, shape (n, units); a linear layer of it gives all numbers of the grid.
        """
        x, y, log_variance, log_delta, log_gamma = to_float32(self.where(h)).unsqueeze(2).unbind(1)  # each (n, 1)
        _, height, width = self.shape
        delta = (max(height, width) - 1) / (self.side - 1) * log_delta.exp()
        offsets = torch.arange(self.side, device=h.device, dtype=x.dtype) - (self.side - 1) / 2

        def bank(center: Tensor, length: int) -> Tensor:
            """Returns N normalized Gaussian filters along one side of the image, shape (n, N, length).

            `h`, the argument of `filters`, determines their common width and the distance between their centers.

            Arguments:
                center: the center of the grid, shape (n, 1), where -1 and 1 are the two ends of the side.
                length: the length of the side, in pixels.
            """
            mu = (length + 1) / 2 * (center + 1) + offsets * delta
            pixels = torch.arange(1, length + 1, device=h.device, dtype=x.dtype)
            # softmax normalizes the Gaussian, without 0 / 0 where the filter lies outside the image
            distance = (pixels - mu[:, :, None]).square() / (2 * log_variance.exp()[:, :, None])
            return (-distance).softmax(dim=2)

        return bank(y, height), bank(x, width), log_gamma.exp()[:, :, None, None]

    def read(self, h: Tensor, *images: Tensor) -> list[Tensor]:
        """Reads a patch of each image x by the filters F_y and F_x: gamma F_y x F_x^T, shape (n, channels, N, N).

        Arguments:
            h: the hidden state of the LSTM, from which F_y, F_x and the factor gamma are computed, shape (n, units).
            images: the images, each of shape (n, channels, height, width).

        Returns:
            The patch of each image, in order.
        """
        f_y, f_x, gamma = self.filters(h)
        return [gamma * (f_y[:, None] @ x @ f_x[:, None].transpose(2, 3)) for x in images]

    def write(self, h: Tensor, patch: Tensor) -> Tensor:
        """Places a patch w in an image of zeros by the filters F_y and F_x: F_y^T w F_x / gamma, shape (n, channels,
        height, width).

        Arguments:
            h: the hidden state of the LSTM, from which F_y, F_x and the factor gamma are computed, shape (n, units).
            patch: the patch w, shape (n, channels, N, N).
        """
        f_y, f_x, gamma = self.filters(h)
        return f_y[:, None].transpose(2, 3) @ patch @ f_x[:, None] / gamma


class DrawDecoder(nn.Module):
    """DRAW's decoder from z = [z_1, ..., z_T] to x: at step t an LSTM reads z_t, and then adds a patch to the canvas
    c_t.

        h_t = LSTM(z_t, h_{t-1}),   c_t = c_{t-1} + write(h_t),   x = sigmoid(c_T)

    write(h_t) is an image with a patch at one place; h_t determines the patch and, by `Attention`, the place. c_0 is
    learned, and h_0 is 0.

    Arguments:
        glimpses: T, the number of steps.
        inputs: the dimensions of each z_t, plus those of a label y in a conditional decoder.
        units: the dimensions of the LSTM's hidden state h_t.
        side: the side of the patch, in pixels.
        shape: the shape of x, (channels, height, width).
    """

    def __init__(self, glimpses: int, inputs: int, units: int, side: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.glimpses = glimpses
        self.units = units
        self.shape = shape
        self.cell = nn.LSTMCell(inputs, units)
        self.what = nn.Linear(units, shape[0] * side * side)
        self.attention = Attention(units, side, shape)
        self.blank = nn.Parameter(torch.zeros(shape))  # c_0

    def initial_state(self, count: int) -> DrawState:
        """Returns the state before the first step for `count` samples, a tuple (hidden state, cell, canvas).

        Hidden state and cell are 0, shape (count, units), and the canvas is the learned c_0, shape (count, *shape).
        """
        zeros = self.blank.new_zeros(count, self.units)
        return zeros, zeros, self.blank.expand(count, *self.shape)

    def step(self, state: DrawState, z: Tensor) -> DrawState:
        """Runs one step: the LSTM reads a share of z and a patch is added to the canvas. Returns the new state.

        Arguments:
            state: the tuple (hidden state, cell, canvas), of shapes (n, units), (n, units) and (n, *shape).
            z: z_t, the share of z for this step, concatenated with y in a conditional decoder, shape (n, inputs).
        """
        h, cell, canvas = state
        h, cell = map(to_float32, self.cell(z, (h, cell)))
        side = self.attention.side
        patch = to_float32(self.what(h)).unflatten(1, (self.shape[0], side, side))
        return h, cell, canvas + to_float32(self.attention.write(h, patch))

    def final_state(self, *z: Tensor) -> DrawState:
        """Returns the state after the last step: the LSTM's hidden state and cell, each of shape (n, units), and the
        canvas, shape (n, *shape).

        Arguments:
            z: z, shape (n, d), followed by the label or attributes y, shape (n, size of y), in a conditional decoder.
        """
        z_all, *y = z
        state = self.initial_state(len(z_all))
        for z_t in z_all.chunk(self.glimpses, dim=1):
            state = self.step(state, torch.cat([z_t, *y], dim=1))
        return state

    def hidden(self, *z: Tensor) -> Tensor:
        """Returns the LSTM's hidden state after the last step, shape (n, units), for z, shape (n, d), and, in a
        conditional decoder, a label y.
        """
        return self.final_state(*z)[0]

    def forward(self, *z: Tensor) -> Tensor:
        """Returns the image x in [0, 1], shape (n, channels, height, width), for z, shape (n, d), and, in a conditional
        decoder, a label y.
        """
        return self.final_state(*z)[2].sigmoid()


@module_dataclass
class DrawIdentity(FieldModule):
    """A network that returns x unchanged and stores the sizes of DRAW's decoder, for the encoder `recurrent`, which
    reads x and the decoder's state itself.

    Arguments:
        glimpses: T, the number of steps of the decoder.
        units: the dimensions of the hidden state of the decoder's LSTM.
        shape: the shape of x, (channels, height, width).
    """

    glimpses: int
    units: int
    shape: tuple[int, ...]

    def hidden(self, x: Tensor) -> Tensor:
        """Returns x, flattened to vectors, shape (n, d)."""
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns x unchanged."""
        return x


@dataclass(frozen=True)
class Draw(Family):
    """DRAW's networks for images: a recurrent decoder with attention, whose glimpses each read an equal share of z.

    A glimpse is one step of the decoder, which adds a patch to the canvas. In DRAW itself the encoder is `recurrent`:
    at each glimpse it reads the decoder's state and canvas. Any other encoder infers the whole z by a network of
    two fully connected layers with batch norm. The critic is fully connected too.

    See Also:
        interalia.conditionals.Recurrent

    References:
        DRAW: A Recurrent Neural Network For Image Generation, Karol Gregor, Ivo Danihelka, Alex Graves, Danilo Jimenez
        Rezende, Daan Wierstra, 2015, https://arxiv.org/abs/1502.04623

    Arguments:
        glimpses: T, the number of glimpses.
        units: the dimensions of the hidden state of the decoder's LSTM.
        side: the side of the patch that each glimpse writes, in pixels.
        width: the width of the fully connected layers in critics and in encoders other than `recurrent`.

    Raises:
        ValueError: `side` is under 2, or another number under 1.

    Example:
        >>> x, z = Space("x", (1, 8, 8), "unit"), Space("z", (12,))
        >>> Draw(glimpses=4, units=16).make(Map((z,), x))(torch.zeros(2, 12)).shape
        torch.Size([2, 1, 8, 8])
    """

    name = "draw"
    supports = tuple(FEATURES)
    glimpses: Repeats = 8
    units: Width = 256
    side: Repeats = 5
    width: Width = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.side >= 2, "it must be 2 or more", side=self.side)

    def check_shape(self, x: Space) -> None:
        """Raises a UserError unless x is an image."""
        if not x.is_image:
            self.refuse_shape("images", x)

    def encoder(self, spec: Map) -> nn.Module:
        """Builds the network of encoders other than `recurrent`, from x to `spec.output`: two fully connected hidden
        layers with batch norm, and an output layer.
        """
        return Perceptrons(self.width).encoder(spec)

    def decoder(self, spec: Map) -> nn.Module:
        """Builds the recurrent decoder from z to x, a `DrawDecoder`; at each step it reads an equal share of z's
        dimensions.

        Raises:
            UserError: the number of dimensions of z is no multiple of the number of glimpses.
        """
        z = spec.inputs[0].size
        if z % self.glimpses:
            raise UserError(
                f"the networks 'draw' take z in {self.glimpses} equal parts, and {z} is no multiple of {self.glimpses}; give "
                f"`latent_dim={self.glimpses * -(-z // self.glimpses)}`, or draw(glimpses=...)."
            )
        inputs = z // self.glimpses + spec.extra_size
        return DrawDecoder(self.glimpses, inputs, self.units, self.side, spec.output.shape)

    def critic(self, spec: Critic) -> nn.Module:
        """Builds the critic of the inputs of `spec`: a fully connected layer of x; its output and the other inputs,
        such as z, are concatenated and go through two more and a last layer.
        """
        return Perceptrons(self.width).critic(spec)

    def image_reader(self, spec: Map) -> nn.Module:
        """Returns the network of the encoder `recurrent`, a `DrawIdentity`, which stores the sizes of the decoder."""
        return DrawIdentity(self.glimpses, self.units, spec.inputs[0].shape)

    def output_bias(self, decoder: nn.Module) -> nn.Parameter | None:
        """Returns the decoder's initial canvas c_0, which the caller sets from the mean image; None if `decoder` is no
        `DrawDecoder`.
        """
        return decoder.blank if isinstance(decoder, DrawDecoder) else None
