"""Compiled training: a whole step, with the gradients of all players, the optimizers and the average, as one graph.

A step is captured by running it once under `make_fx` of torch, which records every operation. Weights, moments, batches,
learning rates and random numbers are inputs of the graph, so that it is valid for every later step. On a CPU inductor
compiles the graph; on a GPU a CUDA graph replays it. Random numbers and batches are drawn outside of the graph, in the order
of an ordinary step, so that a compiled training uses the same ones.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode, has_proxy_slot, make_fx
from torch.nn.functional import one_hot
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from interalia import registry
from interalia.contexts import NOISE, OUTSIDE, NoiseKey, noise_from, private_rng
from interalia.errors import UserError
from interalia.games import Outcome
from interalia.learning.slots import Slots
from interalia.training.batches import draw
from interalia.training.state import Training

Function = Callable[..., Sequence[Tensor]]  # a graph as a function of its inputs, which it may change

GRAPHS = 4  # the most graphs of one training, such as one of steps with a penalty and one of those without
EAGER_STEPS = 8  # ordinary steps before the first graph; they are timed, and make the moments of the optimizers
PROGRESS = [step / 64 for step in range(65)]  # shares of training at which the values of schedules are compared
VALUES = (bool, int, float, complex, str, bytes, type(None))  # types of the values that a graph depends on


def refusal(reason: str) -> UserError:
    """Returns the error for a training that cannot be captured; `reason` is a clause of its message."""
    return UserError(f"`compile` cannot make one graph of this training's steps: {reason}; leave `compile` out.")


def culprit(traceback: TracebackType | None) -> str:
    """Returns the name of the innermost method of a traceback that is neither torch's nor of this module, such as
    "Pool.__call__", or of the innermost such function if there is no method.
    """
    names = ["the step"]
    while traceback is not None:
        module, name = traceback.tb_frame.f_globals.get("__name__", ""), traceback.tb_frame.f_code.co_qualname
        if module.split(".")[0] != "torch" and module != __name__:
            names.append(name)
        traceback = traceback.tb_next
    return next((name for name in reversed(names) if "." in name.removesuffix(".<lambda>")), names[-1])


class UncapturableError(Exception):
    """The error that an operation raises which a graph cannot contain; the message is a verb phrase, such as "reads
    values".
    """


READS = "reads numbers from a tensor, on which the further computation may depend"
READS_ERROR = "get value out of a tracing tensor"  # a part of torch's message
ATEN = torch.ops.aten
# random operations that take of their first argument nothing but the shape, the dtype and the device
LIKE = (ATEN.rand_like, ATEN.randn_like, ATEN.randint_like)
STORES = ("_parameters", "_buffers", "_modules")
HOOKS = set(vars(nn.Module())) - {"training", *STORES}
READERS = {Tensor.tolist, Tensor.numpy, Tensor.__array__}  # they read memory without an operation that is recorded


class WithoutReads(TorchFunctionMode):
    """A context that raises an UncapturableError where the numbers of a tensor are read by tolist or numpy, and in which
    `one_hot` does not read them to check them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Returns the result of a function of torch for `args` and `kwargs`; `types` is not used."""
        if func in READERS:
            raise UncapturableError(READS)
        if func is one_hot and len(args) == 2 and args[1] >= 0:
            return (args[0].unsqueeze(-1) == torch.arange(args[1], device=args[0].device)).long()
        return func(*args, **(kwargs or {}))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Tensors that are drawn for every step, outside of the graph: a batch, or the random numbers of one operation.

    Attributes:
        draw: a function that returns new tensors.
        tensors: the tensors of the captured step, which stand for them in the graph.
    """

    draw: Callable[[], Sequence[Tensor]]
    tensors: Sequence[Tensor]


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """A context whose operations are not part of a graph that is being captured."""
    token = OUTSIDE.set(None)
    try:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            yield
    finally:
        OUTSIDE.reset(token)


def is_recorded(value: object) -> bool:
    """True if the value is a tensor that an operation of the graph that is being captured computes."""
    mode = get_proxy_mode()
    return isinstance(value, Tensor) and mode is not None and has_proxy_slot(value, mode.tracer)


def counters() -> defaultdict[str, Iterator[int]]:
    """Returns purpose -> an iterator of numbers from 0, for any purpose."""
    return defaultdict(itertools.count)


class Draws(TorchDispatchMode):
    """A context in which random numbers and batches are drawn outside of the graph that is being captured, and listed.

    Attributes:
        drawn: the list, in the order of the step.

    Arguments:
        batches: an endless iterator of batches.
    """

    def __init__(self, batches: Iterator[tuple[Tensor, ...]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn: list[Drawn] = []
        self.source = batches
        self.keys: list[NoiseKey] = []  # of all random numbers; kept, so that the `id` of their counters is unique
        self.root = NOISE.get()  # the key of the present step
        self.counters: defaultdict[int, defaultdict[str, Iterator[int]]] = defaultdict(counters)

    def add(self, draw: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
        """Draws tensors by the function `draw`, lists both, and returns the tensors."""
        with unrecorded():
            self.drawn.append(Drawn(draw, draw()))
        return self.drawn[-1].tensors

    def noise(self, draw: Callable[[], Tensor]) -> Tensor:
        """Draws random numbers of `interalia.contexts.draw_noise`, and lists how they are drawn with the key of a later step.

        Arguments:
            draw: a function that draws them with the present key.
        """
        key, root = NOISE.get(), self.root
        with unrecorded():
            numbers = [draw()]
        own = () if key is None or root is None else key.key[len(root.key) :]  # what the step adds to its key

        def again() -> Sequence[Tensor]:
            """Returns a list of the random numbers, drawn again with the key of the present step."""
            if key is None:
                return [draw()]
            if self.root is not (now := NOISE.get()):
                self.root, self.counters = now, defaultdict(counters)
            whole = (*(now.key if now is not None else ()), *own)
            with noise_from(NoiseKey(whole, key.rows, key.first, self.counters[id(key.drawn)])):
                return [draw()]

        if key is not None:
            self.keys.append(key)
        self.drawn.append(Drawn(again, numbers))
        return numbers[0]

    def batches(self) -> Iterator[tuple[Tensor, ...]]:
        """Yields batches without end."""
        while True:
            yield tuple(self.add(lambda: next(self.source)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Returns the result of an operation of torch, which is drawn outside of the graph if it is random.

        Arguments:
            func: the operation.
            types: not used.
            args: its positional arguments.
            kwargs: its keyword arguments, or None.

        Raises:
            UncapturableError: the shape of the result, or the distribution of random numbers, depends on numbers that the
                step computes; or a number of an input of the graph is read; or random numbers are drawn with a generator.
        """
        kwargs = kwargs or {}
        masks = [i for i in args[1] if i is not None] if func is ATEN.index.Tensor else []
        varying = torch.Tag.dynamic_output_shape in func.tags and func is not ATEN.index.Tensor
        if varying or any(i.dtype in (torch.bool, torch.uint8) for i in masks):
            raise UncapturableError("makes a tensor whose shape depends on numbers")
        reads = torch.Tag.data_dependent_output in func.tags or func is ATEN.is_nonzero.default
        if reads and not all(is_recorded(value) for value in args if isinstance(value, Tensor)):
            raise UncapturableError(READS)  # make_fx checks those that are recorded: they may be constants
        if torch.Tag.nondeterministic_seeded not in func.tags and func.overloadpacket not in (
            ATEN.random_,
            ATEN.random,
        ):
            return func(*args, **kwargs)
        if kwargs.get("generator") is not None:
            raise UncapturableError("draws random numbers with a generator that is an argument")
        inplace = func._schema.name.endswith("_")
        first = (
            1 if inplace or func.overloadpacket in LIKE else 0
        )  # the first argument is a shape, a dtype and a device
        if any(is_recorded(value) for value in (*args[first:], *kwargs.values())):
            raise UncapturableError("draws random numbers from a distribution that depends on the step")
        like = args[:first]
        layout = [(t.shape, t.stride(), {"dtype": t.dtype, "device": t.device}) for t in like]

        def numbers() -> Sequence[Tensor]:
            """Returns a list with the result of the operation; a new tensor replaces a first argument that is a tensor."""
            made = (torch.empty_strided(shape, strides, **options) for shape, strides, options in layout)
            return [func(*made, *args[first:], **kwargs)]

        result = self.add(numbers)[0]
        return like[0].copy_(result) if inplace else result


class TensorRate:
    """An optimizer with tensors as learning rates, in place of one whose step is captured.

    A step of SGD or RMSprop is made at the rate 1, and its change of the weights is multiplied by the tensor: it is
    proportional to the rate.

    Arguments:
        optimizer: the optimizer, whose learning rates in `param_groups` stay numbers.

    Raises:
        UserError: the optimizer is none of Adam, SGD and RMSprop.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Adam | SGD | RMSprop):
            raise refusal(f"the optimizer {type(optimizer).__name__} is none of Adam, SGD and RMSprop")
        self.optimizer = optimizer
        devices = [group["params"][0].device for group in optimizer.param_groups]
        dtypes = [torch.float64 if device.type == "cpu" else torch.float32 for device in devices]
        self.rates = [torch.zeros((), dtype=t, device=d) for t, d in zip(dtypes, devices, strict=True)]

    def fill(self) -> None:
        """Sets the tensors to the optimizer's learning rates."""
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    @torch.no_grad()
    def step(self) -> None:
        """Steps the optimizer."""
        groups, exact = self.optimizer.param_groups, isinstance(self.optimizer, Adam)
        numbers = [group["lr"] for group in groups]
        before = [[] if exact else [p.clone() for p in group["params"]] for group in groups]
        try:
            for group, rate in zip(groups, self.rates, strict=True):
                group["lr"] = rate if exact else 1.0
            self.optimizer.step()
        finally:
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number
        for group, rate, values in zip(groups, self.rates, before, strict=True):
            for p, value in zip(group["params"], values, strict=not exact):
                p.copy_(value + rate * (p - value))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Sets the gradients to None, or to 0."""
        self.optimizer.zero_grad(set_to_none)


def steps_of(optimizer: Optimizer, parameters: Sequence[Tensor]) -> set[float]:
    """Returns the different numbers of steps that an optimizer, if it counts them, has taken of parameters."""
    states = (optimizer.state[p] for p in parameters if p in optimizer.state)
    return {float(state["step"]) for state in states if "step" in state}


def fused_adam_(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], averages: Sequence[Tensor], squares: Sequence[Tensor],
    largest: Sequence[Tensor], steps: Sequence[Tensor], *, lr: Tensor, beta1: float, beta2: float, weight_decay: float,
    eps: float, amsgrad: bool, maximize: bool, grad_scale: None = None, found_inf: None = None,
) -> None:  # fmt: skip
    """A step of Adam in elementary operations, which inductor fuses, in place of torch's `_fused_adam_`.

    Arguments:
        parameters: the parameters, which are changed.
        gradients: their gradients.
        averages: the averages of the gradients, which are changed.
        squares: the averages of the squared gradients, which are changed.
        largest: not used.
        steps: the number of steps of each parameter, of which the first is used for all.
        lr: the learning rate, shape ().
        beta1: decay of the averages.
        beta2: decay of the averages of squares.
        weight_decay: factor on the parameters, which are added to the gradients.
        eps: is added to the square root of the average of squares.
        amsgrad: False.
        maximize: False.
        grad_scale: not used.
        found_inf: not used.

    Raises:
        UserError: `amsgrad` or `maximize` is True.
    """
    if amsgrad or maximize:
        raise refusal("its Adam has `amsgrad` or `maximize`")
    count = steps[0].double()
    rate, root = lr / (1 - beta1**count), (1 - beta2**count).sqrt()
    for p, g, m, v in zip(parameters, gradients, averages, squares, strict=True):
        g = g + weight_decay * p if weight_decay else g
        m.copy_(m + (1 - beta1) * (g - m))
        v.copy_(beta2 * v + (1 - beta2) * g * g)
        p.copy_(p - rate * m / (v.sqrt() / root + eps))


@dataclasses.dataclass(frozen=True)
class Place:
    """A place of a value among the attributes of a training's objects.

    Attributes:
        name: such as "game.penalty.weight".
        container: the dictionary or list that contains the value.
        key: its key or index.
        value: the value at the time when the places were listed.
    """

    name: str
    container: Any
    key: Any
    value: Any

    def keep(self) -> None:
        """Restores the value if a captured step has replaced it; a tensor gets the numbers of the new one in place.

        Raises:
            UserError: the new value is no tensor of the same shape, nor a list of such tensors as before.
        """
        now = self.container[self.key] if is_in(self.key, self.container) else None
        if now is self.value or (isinstance(now, VALUES) and now == self.value):
            return
        pairs = [(self.value, now)]
        if isinstance(now, list) and isinstance(self.value, list) and len(now) == len(self.value):
            pairs = list(zip(self.value, now, strict=True))
        for old, new in pairs:
            if not (isinstance(old, Tensor) and isinstance(new, Tensor) and old.shape == new.shape):
                raise refusal(f"a step changes {self.name}")
            if old is not new:
                with torch.no_grad():
                    old.copy_(new)
        self.container[self.key] = self.value


def is_in(key: Any, container: Any) -> bool:
    """True if a dictionary has the key, or a list the index `key`."""
    return key < len(container) if isinstance(container, list) else key in container


def places(value: Any, name: str, seen: dict[int, Any]) -> Iterator[Place]:
    """Yields the places of all values that can be reached from an object by attributes, keys and indices.

    Optimizers are left out, and so are the hooks of modules.

    Arguments:
        value: the object.
        name: its name, such as "game".
        seen: the objects that were visited, by their `id`; this one is added.
    """
    if id(value) in seen or isinstance(value, (*VALUES, Tensor, type, Optimizer)):
        return
    seen[id(value)] = value
    container = value if isinstance(value, dict | list | tuple) else getattr(value, "__dict__", {})
    items = enumerate(container) if isinstance(container, list | tuple) else list(container.items())
    for key, one in items:
        if not (isinstance(value, nn.Module) and key in HOOKS):
            path = name if key in STORES else f"{name}.{key}"
            if not isinstance(container, tuple):
                yield Place(path, container, key, one)
            yield from places(one, path, seen)


@dataclasses.dataclass(frozen=True)
class Graph:
    """A captured step as a function of its inputs, and the tensors that are drawn for it.

    Attributes:
        function: the graph, which changes inputs such as the weights and returns the losses and the scores.
        inputs: its inputs in the order of its arguments.
        drawn: a pair for each draw, in the order of the step: the function that returns new tensors, and for each of these
            tensors the index of the input that it is copied to, or None if the graph does not use it.
        losses: the names of the players whose losses it returns.
        scores: the names of the joint distributions whose scores it returns after the losses.
    """

    function: Function
    inputs: list[Tensor]
    drawn: Sequence[tuple[Callable[[], Sequence[Tensor]], Sequence[int | None]]]
    losses: Sequence[str]
    scores: Sequence[str]

    @torch.no_grad()
    def step(self) -> Outcome:
        """Draws batches and random numbers, executes the graph, and returns the losses and scores."""
        for draw_tensors, indices in self.drawn:
            for index, tensor in zip(indices, draw_tensors(), strict=True):
                if index is not None:
                    self.inputs[index] = tensor
        results = iter(self.function(*self.inputs))
        losses = {name: next(results) for name in self.losses}
        return Outcome(losses, {name: next(results) for name in self.scores})


class Replayed:
    """A function as a CUDA graph, which is replayed at each call without Python between its kernels.

    Arguments:
        function: the function, which may change its inputs.
        inputs: the tensors of its first call; of later calls the numbers are copied into them.
    """

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        self.inputs = list(inputs)
        before = [tensor.clone() for tensor in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels are compiled and chosen at the first calls
            for _ in range(3):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, value in zip(inputs, before, strict=True):
            tensor.copy_(value)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.results = function(*inputs)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Returns copies of the results for these inputs."""
        for own, given in zip(self.inputs, inputs, strict=True):
            if own is not given:
                own.copy_(given, non_blocking=True)
        self.graph.replay()
        return [result.clone() for result in self.results]


def with_inputs(module: fx.GraphModule) -> list[Tensor]:
    """Makes arguments of all tensors that a captured graph contains, and returns them in the order of the arguments."""
    graph = module.graph
    found: dict[int, tuple[Tensor, fx.Node]] = {}
    held = [(node, getattr(module, node.target)) for node in graph.nodes if node.op == "get_attr"]
    with graph.inserting_before(next(iter(graph.nodes))):
        for _, tensor in held:
            if id(tensor) not in found:
                found[id(tensor)] = (tensor, graph.placeholder(f"input{len(found)}"))
    for node, tensor in held:
        node.replace_all_uses_with(found[id(tensor)][1])
    marks = [
        node for node in graph.nodes if "_record_function_" in str(node.target)
    ]  # the optimizers', for the profiler
    for node in (*(node for node, _ in held), *reversed(marks)):
        graph.erase_node(node)
    graph.lint()
    module.recompile()
    return [tensor for tensor, _ in found.values()]


class CompiledStep:
    """The steps of a training: the first ones are ordinary, the others are executed as graphs.

    A graph is valid as long as the numbers and texts among the attributes of the game and of the dynamics are those of
    the captured step. For others, such as those of steps without a penalty, another graph is captured.

    Attributes:
        graphs: the values of these attributes -> the graph.

    Arguments:
        training: the training.
        backend: "inductor" to compile the graphs, "eager" to execute their operations one by one.
        ordinary: number of ordinary steps before the first graph, at least 1.
    """

    def __init__(self, training: Training, backend: str = "inductor", ordinary: int = EAGER_STEPS) -> None:
        self.training, self.backend, self.ordinary = training, backend, ordinary
        self.dynamics = training.dynamics.capturable()
        if self.dynamics.options.skip_critic_above < 1:
            raise refusal("`skip_critic_above` decides by the scores whether the critic is updated")
        if self.dynamics.options.loss_scaling:
            raise refusal("`precision='fp16'` skips updates whose gradients are not finite")
        self.rates = {player: TensorRate(optimizer) for player, optimizer in training.optimizers.items()}
        self.share = torch.zeros((), device=training.device)
        self.graphs: dict[tuple[Any, ...], Graph] = {}
        self.seconds: dict[str, list[float]] = {"ordinary": [], "captured": [], "compiled": []}  # of each step

    def __call__(self) -> Outcome:
        """Takes one step, and returns the losses of the players before their updates and the scores of the critic."""
        began, kind = time.perf_counter(), "ordinary"
        if self.ordinary:
            self.ordinary -= 1
            outcome = self.training.take_step()
        else:
            key = self.values()
            kind = "compiled" if key in self.graphs else "captured"
            outcome = self.take(key)
        if len(self.seconds["compiled"]) < EAGER_STEPS:
            self.seconds[kind].append(time.perf_counter() - began)
            self.training.note = self.note()
        return outcome

    def note(self) -> str:
        """Returns a sentence about the time of compilation and of steps; empty if there is nothing new to tell."""
        ordinary, captured, compiled = (list(values) for values in self.seconds.values())
        if self.ordinary or self.backend != "inductor":
            return ""
        if len(compiled) < EAGER_STEPS:
            return "The step is compiled, which takes a minute or more."
        before, after = (1000 * statistics.median(values) for values in (ordinary, compiled))
        times = f"Compiled in {sum(captured):.0f} s; a step takes {after:.3g} ms, and {before:.3g} ms without `compile`"
        if after >= before:
            return f"{times}, which does not pay; leave `compile` out."
        return f"{times}, which pays from {1000 * sum(captured) / (before - after):,.0f} steps on."

    def take(self, key: tuple[Any, ...]) -> Outcome:
        """Takes a captured step for the values `key`, and returns the losses and scores."""
        training, averaging, average = self.training, self.training.averaging, self.training.average
        if not self.slots.are_current():
            raise refusal("a module or a parameter of the game was replaced")
        for rate in self.rates.values():
            rate.fill()
        for place, number in self.scheduled:
            number.fill_(place.container[place.key])
        if averaging is not None:
            self.share.fill_(averaging.newest_weight(training.step, training.steps, self.averaged))
        outcome = self.graphs[key].step() if key in self.graphs else self.capture(key)
        if average is not None and averaging is not None:
            self.averaged += 1
            if training.step < averaging.start * training.steps:
                average.n_averaged.zero_()
                self.averaged = 0
        return outcome

    @functools.cached_property
    def slots(self) -> Slots:
        """The slots of the game's modules and parameters at the first graph."""
        return Slots(self.training.game)

    @functools.cached_property
    def averaged(self) -> int:
        """The number of steps whose weights are in the average."""
        return 0 if self.training.average is None else int(self.training.average.n_averaged)

    @functools.cached_property
    def places(self) -> list[Place]:
        """The places of all values of the game and of the dynamics."""
        seen: dict[int, Any] = {}
        return [*places(self.training.game, "game", seen), *places(self.dynamics, "dynamics", seen)]

    @functools.cached_property
    def scheduled(self) -> list[tuple[Place, Tensor]]:
        """The places of numbers that take more values in the course of the training than graphs are made, such as the
        weight of a penalty, each with the tensor that is used in place of the number.
        """
        game, step, steps = self.training.game, self.training.step, self.training.steps
        columns: list[set[Any]] = [set() for _ in self.plain]
        for number in {*range(step, step + 2 * GRAPHS), *(int(share * steps) for share in PROGRESS)}:
            game.set_progress(number, steps)
            for column, place in zip(columns, self.plain, strict=True):
                column.add(place.container.get(place.key))
        game.set_progress(step, steps)
        changing = [place for column, place in zip(columns, self.plain, strict=True) if len(column) > GRAPHS]
        for place in changing:
            if not isinstance(place.value, float):
                raise refusal(f"{place.name} changes from step to step")
        return [(place, torch.zeros((), device=self.training.device)) for place in changing]

    @functools.cached_property
    def constant(self) -> list[Place]:
        """The places of numbers and texts for whose values graphs are captured."""
        scheduled = [place for place, _ in self.scheduled]
        return [place for place in self.plain if place not in scheduled]

    @functools.cached_property
    def plain(self) -> list[Place]:
        """The places of numbers and texts among the attributes of the game and of the dynamics."""
        return [p for p in self.places if isinstance(p.value, VALUES) and isinstance(p.container, dict)]

    def values(self) -> tuple[Any, ...]:
        """Returns the present values at the places `constant`, which parameters are trained and where in memory they are, and
        the options of optimizers.
        """
        parameters = tuple((p.requires_grad, p.data_ptr()) for own in self.dynamics.networks.values() for p in own)
        groups = [group for optimizer in self.training.optimizers.values() for group in optimizer.param_groups]
        options = tuple(group[key] for group in groups for key in group if key not in ("params", "lr"))
        return *(place.container.get(place.key) for place in self.constant), parameters, options

    def capture(self, key: tuple[Any, ...]) -> Outcome:
        """Takes one step and makes a graph of it, for the values `key`; returns the losses and scores."""
        if len(self.graphs) == GRAPHS:
            names = [*(place.name for place in self.constant), "the memory of parameters", "an optimizer"]
            names = [name for name, *values in zip(names, key, *self.graphs, strict=True) if len(set(values)) > 2]
            raise refusal(f"{' and '.join(names) or 'several attributes'} changes from step to step")
        self.places = [dataclasses.replace(place, value=place.container[place.key]) for place in self.places]
        draws = Draws(self.training.batches)
        outcome = Outcome({})

        def step() -> list[Tensor]:
            """Takes one step, and returns the losses and the scores."""
            nonlocal outcome
            token = OUTSIDE.set(draws.noise)
            try:
                with WithoutReads(), draws, torch.autograd.set_multithreading_enabled(False):
                    outcome = self.traced(draws.batches())
                    return [value.detach() for value in (*outcome.losses.values(), *outcome.scores.values())]
            finally:
                OUTSIDE.reset(token)

        inductor = self.backend == "inductor"
        groups = [(o, group["params"]) for o in self.training.optimizers.values() for group in o.param_groups]
        if inductor and any(len(steps_of(optimizer, parameters)) > 1 for optimizer, parameters in groups):
            raise refusal("parameters of one optimizer have taken different numbers of steps")
        table = dict.fromkeys((ATEN._fused_adam_.default, ATEN._fused_adam_.tensor_lr), fused_adam_) if inductor else {}
        try:
            module = make_fx(step, decomposition_table=table, tracing_mode="real")()
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            known = isinstance(error, UncapturableError) or READS_ERROR in str(error)
            reason = (
                READS if READS_ERROR in str(error) else str(error) if known else f"fails: {registry.failure(error)}"
            )
            raise refusal(f"{culprit(error.__traceback__)} {reason}") from error
        found = with_inputs(module)
        index = {id(tensor): number for number, tensor in enumerate(found)}
        drawn = [(one.draw, [index.get(id(tensor)) for tensor in one.tensors]) for one in draws.drawn]
        inputs = [tensor.detach() for tensor in found]
        function = compiled(module, inputs, self.backend)
        self.graphs[key] = Graph(function, inputs, drawn, [*outcome.losses], [*outcome.scores])
        return outcome

    def traced(self, batches: Iterator[tuple[Tensor, ...]]) -> Outcome:
        """Takes one step whose learning rates and share of the average are tensors, and returns the losses and scores.

        Values that the step replaces are restored, and their tensors get the new numbers.

        Arguments:
            batches: an endless iterator of batches.
        """
        optimizers, self.dynamics.optimizers = self.dynamics.optimizers, self.rates  # type: ignore[assignment]
        for place, number in self.scheduled:
            place.container[place.key] = number
        try:
            outcome = self.dynamics.step(batches)
        finally:
            self.dynamics.optimizers = optimizers
            for place, _ in self.scheduled:
                place.container[place.key] = place.value
        for place in self.places:
            place.keep()
        average, game = self.training.average, self.training.game
        if average is not None:
            with torch.no_grad():
                for mean, weight in zip(average.module.parameters(), game.parameters(), strict=True):
                    mean.lerp_(weight, self.share)
                for own, value in zip(average.module.buffers(), game.buffers(), strict=True):
                    own.copy_(value)
                average.n_averaged.add_(1)
        return outcome


def compiled(module: fx.GraphModule, inputs: list[Tensor], backend: str) -> Function:
    """Returns a graph as a function that executes it.

    Arguments:
        module: the graph.
        inputs: its inputs, which stay unchanged.
        backend: "inductor" to compile it, and to replay it on a GPU; "eager" to execute its operations one by one.

    Raises:
        UserError: inductor cannot compile it.
    """
    if backend == "eager":
        return module
    import torch._inductor

    try:
        function: Function = torch._inductor.compile(module, [*inputs])  # type: ignore[assignment]
    except Exception as error:
        raise refusal(f"the compiler fails: {registry.failure(error)}") from error
    return Replayed(function, inputs) if inputs[0].device.type == "cuda" else function


def check_compiler(device: torch.device) -> None:
    """Raises a UserError if steps cannot be compiled for this device, or if no C++ compiler is installed for a CPU."""
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"`compile` is for the devices cpu and cuda, and not for {device}; leave `compile` out.")
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            raise UserError(
                "`compile` needs a C++ compiler, and none is installed; install g++ or clang++, or leave `compile` out."
            ) from None


def check(training: Training) -> None:
    """Raises a UserError if the run has `compile` and its steps cannot be compiled; tried on a copy, which is not compiled.

    Arguments:
        training: the training at its beginning, which stays unchanged.
    """
    if not training.run.compile:
        return
    check_compiler(training.device)
    dynamics = copy.deepcopy(training.dynamics)
    game, run = dynamics.game, training.run
    average = training.averaging.averaged_model(game) if training.averaging else None
    batches = draw(training.stores, game.feeds.samplers(training.stores, run.batch_size, run.seed))
    trial = dataclasses.replace(
        training, game=game, dynamics=dynamics, optimizers=dict(dynamics.optimizers), average=average, batches=batches
    )
    step = CompiledStep(trial, "eager", 1)
    with private_rng(training.device, run.seed):
        for number in range(2):
            trial.step = number
            game.set_progress(number, trial.steps)
            step()
