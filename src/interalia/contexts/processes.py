"""Training by several processes: each computes its rows of every batch, and all take the same steps.

The processes are those that `torchrun` starts, on one machine or several. A batch of n rows is cut into equal parts: process
r of N has rows r n / N to (r + 1) n / N - 1. Gradients are means over all rows, and whatever depends on the whole batch, such
as batch norm, is computed from all rows. Networks stay unwrapped; torch.distributed is the only means of communication, and
is imported only if there are several processes. For results that are equal to the bit for any number of processes, the
parts may be shards of the batch, of a fixed number, of which each process computes some.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from interalia.contexts import NOISE, BatchNorm, NoiseKey, noise_from

T = TypeVar("T")


class LostProcessError(ConnectionError):
    """The error for a process of the team that has ended, or that does not answer within the time limit of the team."""


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """A context manager for communication, in which an error of torch.distributed becomes a `LostProcessError`."""
    try:
        yield
    except RuntimeError as error:  # of gloo; those of torch.distributed are subclasses
        reason = re.sub(r"^\[.*?\] ", "", str(error).splitlines()[0]).partition(". ")[0]  # without gloo's line of code
        raise LostProcessError(reason) from error


@dataclasses.dataclass(frozen=True)
class Team:
    """The processes that train one run, as seen from one of them.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes. With 1 every method returns its argument, and nothing is communicated.
        place: the path of the run's folder, in which process 0 alone writes; empty if there is none.
    """

    rank: int = 0
    size: int = 1
    place: str = ""

    @property
    def first(self) -> bool:
        """True in process 0, which alone writes files and evaluates."""
        return self.rank == 0

    def rows(self, index: Tensor) -> Tensor:
        """Returns this process's part of the rows of a batch, shape (n / N, ...) for n rows and N processes."""
        return index if self.size == 1 else index.chunk(self.size)[self.rank]

    def add(self, tensor: Tensor) -> Tensor:
        """Replaces a contiguous tensor by its sum over all processes, in place and without gradient, and returns it."""
        import torch.distributed as dist

        with lost():
            dist.all_reduce(tensor)
        return tensor

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Returns the means over all processes of several tensors, computed in one message; they have no gradient."""
        if self.size == 1:
            return list(tensors)
        flat = self.add(torch.cat([tensor.detach().reshape(-1) for tensor in tensors])) / self.size
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]

    def gather(self, part: Tensor) -> Tensor:
        """Returns the rows of all processes in their order, without gradient, shape (N n, ...) for n rows in each of N."""
        if self.size == 1:
            return part
        import torch.distributed as dist

        found = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with lost():
            dist.all_gather(found, part.detach().contiguous())
        return torch.cat(found)

    def merge(
        self, parameters: Sequence[nn.Parameter], losses: Mapping[str, Tensor], scores: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Replaces `.grad` of each parameter by its mean over all processes, in one message with the losses and scores.

        A parameter whose `.grad` is None keeps None.

        Arguments:
            parameters: the parameters; the same of each process, in the same order.
            losses: name of a player -> its loss on the rows of this process, a scalar.
            scores: name of a joint distribution -> scores of the rows of this process, shape (n, ...).

        Returns:
            The mean losses, and the scores of all rows, shape (N n, ...) for N processes, both without gradient.
        """
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        blocks = [score.new_zeros((self.size, *score.shape)) for score in scores.values()]
        for block, score in zip(blocks, scores.values(), strict=True):
            block[self.rank] = score.detach() * self.size  # the mean over processes then is the score
        found = self.average([*own, *losses.values(), *blocks])
        for p, gradient in zip(parameters, found, strict=False):
            if p.grad is not None:
                p.grad.copy_(gradient)
        of_losses, of_scores = found[len(own) : len(own) + len(losses)], found[len(own) + len(losses) :]
        whole = (score.flatten(0, 1) for score in of_scores)
        return dict(zip(losses, of_losses, strict=True)), dict(zip(scores, whole, strict=True))

    def any(self, flag: bool) -> bool:
        """True if `flag` is True in any of the processes."""
        return flag if self.size == 1 else bool(self.add(torch.tensor(float(flag))))

    def broadcast(self, value: Any) -> Any:
        """Returns the value that process 0 passes, an object that pickle can write; others pass any value."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        found = [value]
        with lost():
            dist.broadcast_object_list(found, 0, device=torch.device("cpu"))
        return found[0]

    def gather_objects(self, value: Any) -> list[Any]:
        """Returns the values that the processes pass, in their order; each is an object that pickle can write."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        with lost():
            dist.all_gather_object(found, value)
        return found

    def meet(self, place: str, seconds: float = 60.0) -> int:
        """Waits for the other processes, and returns how many of them called this method before this one.

        No message is under way afterwards, so that each process may end.

        Arguments:
            place: a text that names the meeting, the same in all processes; another one for every meeting.
            seconds: the time after which it no longer waits.
        """
        if self.size == 1:
            return 0
        import torch.distributed as dist

        store = dist.distributed_c10d._get_default_store()  # type: ignore[no-untyped-call]
        before = int(store.add(place, 1)) - 1
        end = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):  # the process with the store has met all others, and ended
            while store.add(place, 0) % self.size and time.monotonic() < end:
                time.sleep(0.01)
        return before

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A context manager for one training step, in which `whole_batch`, `deviation` and joined batch norm communicate.

        Outside of it, such as in an evaluation by process 0, they use the rows that they are given.
        """
        global CURRENT
        before, CURRENT = CURRENT, self if self.size > 1 else None
        try:
            yield
        finally:
            CURRENT = before


class Meeting:
    """The place where threads of one process, and several processes of as many threads, add up tensors in a fixed order.

    Each thread has a shard of the batch. For S shards the sum is that of a binary tree over all S tensors in the order of the
    shards, so that its bits do not depend on the number of processes.

    Arguments:
        team: the processes.
        here: the number of threads of this process.
    """

    def __init__(self, team: Team, here: int) -> None:
        self.team, self.barrier = team, threading.Barrier(here)
        self.parts: list[Tensor | None] = [None] * here
        self.sum = torch.empty(0)

    def add(self, thread: int, tensor: Tensor) -> Tensor:
        """Replaces the tensor of one of this process's threads by the sum over all shards, and returns it.

        All threads of all processes call this method, each with a tensor of the same shape. `thread` is the number of the
        calling one in its process, from 0.
        """
        self.parts[thread] = tensor
        if self.barrier.wait() == 0:
            parts = [part for part in self.parts if part is not None]
            self.sum = tree_sum(self.from_all(torch.stack(parts)).unbind())
        self.barrier.wait()
        tensor.copy_(self.sum)
        self.barrier.wait()  # before the next sum
        return tensor

    def from_all(self, parts: Tensor) -> Tensor:
        """Returns the tensors of all shards, shape (S, ...), from those of this process's threads, shape (S / N, ...)."""
        return self.team.gather(parts)


def tree_sum(parts: Sequence[Tensor]) -> Tensor:
    """Returns the sum of tensors: of neighbors first, then of neighbors among these sums, and so on."""
    while len(parts) > 1:
        pairs = [torch.add(*pair) for pair in zip(parts[::2], parts[1::2], strict=False)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return parts[0]


@dataclasses.dataclass(frozen=True)
class Shard(Team):
    """One shard of the batch, as seen from the thread that computes it: a team of all shards.

    Attributes:
        rank: the number of the shard, from 0.
        size: the number S of shards.
        meeting: the meeting of the threads and processes that compute them; never None.
        thread: the number of the shard's thread in its process, from 0.
    """

    meeting: Meeting | None = None
    thread: int = 0

    def add(self, tensor: Tensor) -> Tensor:
        """Replaces a contiguous tensor by its sum over all shards, in place and without gradient, and returns it."""
        assert self.meeting is not None
        return self.meeting.add(self.thread, tensor)

    def gather(self, part: Tensor) -> Tensor:
        """Returns the rows of all shards in their order, without gradient, shape (S n, ...) for n rows in each of S."""
        whole = part.new_zeros((self.size, *part.shape))
        whole[self.rank] = part.detach()
        return self.add(whole).flatten(0, 1)

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A context manager for one training step in a thread, in which `whole_batch`, `deviation` and joined batch norm
        communicate with the other shards.
        """
        THREAD.shard = self
        try:
            yield
        finally:
            THREAD.shard = None


ALONE = Team()
SHARERS: ContextVar[Team] = ContextVar("SHARERS", default=ALONE)
CURRENT: Team | None = None  # the team of the training step in progress; a global, as autograd has threads of its own
THREAD = threading.local()  # its attribute `shard` is the shard whose step the thread computes, if any


def several() -> Team | None:
    """The processes or shards that compute the batch of the current training step together; None if there is only one."""
    shard: Team | None = getattr(THREAD, "shard", None)
    return CURRENT if shard is None else shard


def current() -> Team:
    """The processes that compute the batch of the current training step together; a team of one outside of a step."""
    return several() or ALONE


class Sum(torch.autograd.Function):
    """The sum of a tensor over all processes of a team, differentiable any number of times.

    The gradient is that of the sum of the results of all processes, which all of them must differentiate.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, team: Team) -> Tensor:
        """Returns the sum of x over the processes of `team`, in the shape of x."""
        ctx.team = team
        return team.add(x.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Returns the sum of the gradient over the processes, and None for the argument `team`."""
        return Sum.apply(gradients[0], ctx.team), None  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def sharing(team: Team) -> Iterator[None]:
    """A context manager for an evaluation that all processes of a team call with the same arguments.

    Within it `share_out` divides its work among the processes, and each of them gets all results. These are the results that
    one process alone would compute.
    """
    token = SHARERS.set(team)
    try:
        yield
    finally:
        SHARERS.reset(token)


def sharers() -> Team:
    """The processes that share the work of the current evaluation; a team of one outside of `sharing`."""
    return SHARERS.get()


def share_out(count: int, compute: Callable[[int], T]) -> list[T]:
    """Returns the results of a function of the numbers 0, 1, ..., count - 1, in this order.

    Within `sharing`, process r of N calls it for the numbers r, r + N, r + 2 N ..., and gets the other results, which pickle
    must be able to write, from the others.
    """
    team = sharers()
    own = [compute(number) for number in range(team.rank, count, team.size)]
    if team.size == 1:
        return own
    parts = team.gather_objects(own)
    return [parts[number % team.size][number // team.size] for number in range(count)]


def from_first(make: Callable[[], T]) -> T:
    """Returns the result of a function that is called once; within `sharing`, process 0 calls it and sends the result."""
    team = sharers()
    return team.broadcast(make() if team.first else None)  # type: ignore[no-any-return]


def total(x: Tensor) -> Tensor:
    """Returns the sum of x over the processes of the current step, differentiable; x itself if there is one process."""
    team = several()
    return x if team is None else Sum.apply(x, team)  # type: ignore[no-untyped-call, no-any-return]


def deviation(x: Tensor, dim: int | None = None, correction: int = 1) -> Tensor:
    """Returns the standard deviation over the whole batch, as `torch.std` does for the rows of one process.

    Arguments:
        x: this process's rows, shape (n, ...).
        dim: 0 for the deviation of each column; None for that of all numbers.
        correction: what is subtracted from the number of values in the denominator.
    """
    team = current()
    if team.size == 1:
        return x.std(dim, correction=correction)
    count = (x.numel() if dim is None else len(x)) * team.size
    mean = total(x.sum(dim)) / count
    variance = total((x - mean).square().sum(dim)) / (count - correction)
    some = variance > 0  # elsewhere the gradient is 0, as torch's, and not that of a root
    return torch.where(some, torch.where(some, variance, 1.0).sqrt(), 0.0)


def whole_batch(function: Callable[[Tensor], Tensor], new: Tensor) -> Tensor:
    """Returns this process's rows of the result of a function of the whole batch, which every process computes.

    Arguments:
        function: maps the rows of all processes, shape (N n, ...), without gradient, to as many rows. Random numbers that it
            draws by `draw_noise` are those of the whole batch.
        new: the rows of this process, shape (n, ...).
    """
    team = current()
    if team.size == 1:
        return function(new)
    key, whole = NOISE.get(), team.gather(new)
    with noise_from(key and NoiseKey(key.key, len(whole), 0, key.drawn)):
        return team.rows(function(whole))


def channel_axes(x: Tensor) -> tuple[list[int], tuple[int, ...]]:
    """Returns the axes of x, shape (n, channels, ...), over which a channel extends, and the shape in which a vector with a
    number for each channel is multiplied by x.
    """
    return [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))


def joined_moments(x: Tensor, team: Team) -> tuple[Tensor, Tensor]:
    """Returns the mean and the biased variance of each channel over the rows of all processes of a team, without gradient.

    They are computed in one message, from each process's own mean and variance. x are this process's rows, shape (n,
    channels, ...). Both results have the shape (channels,), in float32 for x in bfloat16 or float16, else in the dtype of x.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    kept = (
        None if dtype == x.dtype else x.new_zeros(x.shape[1], dtype=dtype)
    )  # running moments, whose dtype results get
    own = torch.stack(torch.batch_norm_update_stats(x, kept, kept, 0.0))
    means, variances = team.gather(own[None]).unbind(1)
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


class Moments(torch.autograd.Function):
    """Mean and biased variance over the rows of all processes, which are known already, as differentiable functions of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, variance: Tensor, team: Team) -> tuple[Tensor, Tensor]:
        """Returns copies of `mean` and `variance`, shape (channels,), which `joined_moments` computed from x for `team`."""
        mean, variance = mean.clone(), variance.clone()
        ctx.team = team
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Returns the gradient in this process's x for those in the moments, and None for the other arguments."""
        (x, mean), team = ctx.saved_tensors, ctx.team
        _, shape = channel_axes(x)
        count = x.numel() // x.shape[1] * team.size
        sums = Sum.apply(torch.stack(gradients), team) / count  # type: ignore[no-untyped-call]
        return sums[0].view(shape) + 2 * sums[1].view(shape) * (x - mean.view(shape)), None, None, None


class JoinedNorm(torch.autograd.Function):
    """Batch norm by the moments of the rows of all processes, computed by torch's kernels for batch norm, with one message.

    So is its gradient, with one more message. Where the gradient is to be differentiated again, as for a gradient penalty, it
    is computed by ordinary operations instead, which can be differentiated any number of times.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, team: Team, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns x normalized in each channel, and the mean and the biased variance over the rows of all processes.

        Arguments:
            ctx: the context of autograd.
            x: this process's rows, shape (n, channels, ...).
            weight: the factor of each channel after the normalization, shape (channels,); None for 1.
            bias: what is added to each channel then, shape (channels,); None for 0.
            team: the processes.
            eps: what is added to the variance.
        """
        mean, variance = joined_moments(x, team)
        ctx.team, ctx.eps = team, eps
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.mark_non_differentiable(mean, variance)
        return torch.ops.aten.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0], mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients in x, `weight` and `bias` for that in the first result, and None for the other arguments."""
        (x, weight, mean, variance), team, y = ctx.saved_tensors, ctx.team, gradients[0]
        if torch.is_grad_enabled():
            return *norm_gradients(y, x, weight, mean, variance, team, ctx.eps), None, None
        moments = (mean, variance, None, None, False, ctx.eps)
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(y, x, weight, *moments, [True] * 3)
        if ctx.needs_input_grad[0]:  # so far for moments that do not depend on x
            scale = (variance + ctx.eps).rsqrt() if weight is None else (variance + ctx.eps).rsqrt() * weight
            count = x.numel() // x.shape[1] * team.size
            means = team.add(torch.stack([of_weight, of_bias])) * (-scale / count)
            of_x += torch.ops.aten.native_batch_norm(x, *means.unbind(), mean, variance, False, 0.0, ctx.eps)[0]
        return of_x, *((None, None) if weight is None else (of_weight, of_bias)), None, None


def norm_gradients(
    y: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, variance: Tensor, team: Team, eps: float
) -> tuple[Tensor | None, ...]:
    """Returns the gradients of `JoinedNorm` in x, its weight and its bias, computed by operations that can be differentiated.

    Arguments:
        y: the gradient in the normalized rows, in the shape of x.
        x: this process's rows, shape (n, channels, ...).
        weight: the factor of each channel, or None; the gradients in weight and bias then are None too.
        mean: the mean of each channel over the rows of all processes, shape (channels,).
        variance: their biased variance in each channel, shape (channels,).
        team: the processes.
        eps: what is added to the variance.
    """
    (axes, shape), values, gradient = channel_axes(x), x.to(mean.dtype), y.to(mean.dtype)
    mean, variance = Moments.apply(values, mean, variance, team)  # type: ignore[no-untyped-call]
    scale = (variance + eps).rsqrt()
    normalized = (values - mean.view(shape)) * scale.view(shape)
    own = torch.stack([(gradient * normalized).sum(axes), gradient.sum(axes)])
    means = Sum.apply(own, team) / (x.numel() // x.shape[1] * team.size)  # type: ignore[no-untyped-call]
    of_x = gradient - normalized * means[0].view(shape) - means[1].view(shape)
    of_x = of_x * (scale if weight is None else scale * weight).view(shape)
    return of_x.to(x.dtype), *((None, None) if weight is None else own.unbind())


class JoinedBatchNorm(BatchNorm):
    """Batch norm whose moments in a training step are those of the whole batch, not of the rows of one process.

    It is differentiable any number of times. Outside of a training step it is the ordinary batch norm.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Returns x, shape (n, channels, ...), normalized in each channel by mean and variance of the rows of all
        processes; in evaluation mode by the running ones.
        """
        team = several()
        if team is None or not self.training:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        count = x.numel() // x.shape[1] * team.size
        y, mean, variance = JoinedNorm.apply(x, self.weight, self.bias, team, self.eps)  # type: ignore[no-untyped-call]
        if self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), share)
        return y  # type: ignore[no-any-return]


class JoinedBatchNorm1d(JoinedBatchNorm, nn.BatchNorm1d):
    """Batch norm of shape (n, channels) or (n, channels, length), see `JoinedBatchNorm`."""


class JoinedBatchNorm2d(JoinedBatchNorm, nn.BatchNorm2d):
    """Batch norm of shape (n, channels, height, width), see `JoinedBatchNorm`."""


class JoinedBatchNorm3d(JoinedBatchNorm, nn.BatchNorm3d):
    """Batch norm of shape (n, channels, depth, height, width), see `JoinedBatchNorm`."""


JOINED: dict[type[BatchNorm], type[BatchNorm]] = {
    nn.BatchNorm1d: JoinedBatchNorm1d, nn.BatchNorm2d: JoinedBatchNorm2d, nn.BatchNorm3d: JoinedBatchNorm3d,
}  # fmt: skip


def join_batch_norms(game: nn.Module) -> list[nn.Module]:
    """Makes the batch norms of a module `JoinedBatchNorm`s, in place, and returns those of other classes, which cannot be."""
    norms = [module for module in game.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        if type(norm) in JOINED:
            norm.__class__ = JOINED[type(norm)]
    return [norm for norm in norms if not isinstance(norm, JoinedBatchNorm)]


def digest(tensors: Iterable[Tensor]) -> str:
    """Returns a hash of the bits of tensors, 64 hexadecimal digits, which is equal for equal tensors in the same order."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
