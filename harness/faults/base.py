"""What all faults share: when they are due, what they change, and whether they took effect."""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import FaultError
from harness.faults.patching import Function, swap_functions, swap_method
from harness.record import Record
from harness.recording.hooks import on_step


class Fault:
    """A standard fault, planted from outside into a training that a recorder watches.

    There is one a recorder's block, told of models, optimizers and batches before the recorder measures them itself.
    What a fault itself raises is a bug of ours and becomes a `FaultError`; what the training's own functions raise when
    a fault calls them stays what it is.

    Args:
        stack: takes what ends the fault: patches, hooks and changes of the user's data.
    """

    name: ClassVar[str]
    """What the fault is called: the words of its class, with hyphens."""
    what: ClassVar[str]
    """What it changes, in one line: its docstring."""
    once: ClassVar[bool] = False
    """Whether it takes effect once, not throughout."""
    first_step: ClassVar[int] = 0
    """Step from which on it may take effect, 0-based; faults of one step wait until there is a step before theirs."""
    reason: ClassVar[str]
    """What the training lacks if the fault cannot be planted."""

    def __init_subclass__(cls) -> None:
        cls.name = re.sub("(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        cls.what = (cls.__doc__ or "").removesuffix(".")

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.planted = False
        self._stack = stack
        self._undo = stack.enter_context(contextlib.ExitStack())  # takes what ends the fault's effect on one step
        self._steps = 0
        self._models: list[nn.Module] = []
        self._optimizers: list[Optimizer] = []
        self._record: Record | None = None
        self.error: FaultError | None = None
        """What the planting itself raised, whoever caught it since."""
        self._theirs: Exception | None = None

    @property
    def outcome(self) -> tuple[bool, str]:
        """Whether the fault took effect, and if not, why it could not."""
        if self.planted:
            return True, ""
        return False, self.reason if self._steps > self.first_step else "the training takes one step only"

    @property
    def due(self) -> bool:
        """Whether the fault may take effect now."""
        return self._steps >= self.first_step and not (self.once and self.planted)

    def end(self, record: Record, built: Mapping[str, Any]) -> None:
        """Take note of what the training did under the fault."""
        self._record = record

    def is_in(self, record: Record) -> bool:
        """Tell whether this fault was planted in a record's training; a test may have changed parts of it since."""
        ended = self._record
        return ended is not None and (record.streams is ended.streams or record.structure is ended.structure)

    def watch(self, model: nn.Module, optimizer: Optimizer | None) -> None:
        """Follow a model and an optimizer; call it before the recorder hangs its own hooks on them."""
        if all(model is not known for known in self._models):
            self._models.append(model)
            self.meet_model(model)
        if optimizer is not None and all(optimizer is not known for known in self._optimizers):
            self._optimizers.append(optimizer)
            self.meet_optimizer(optimizer)

    def begin(self) -> None:
        """Called as the fault is planted: swaps functions, and sets up what the fault remembers."""

    def meet_model(self, model: nn.Module) -> None:
        """Called with each model when it is watched."""

    def meet_optimizer(self, optimizer: Optimizer) -> None:
        """Called with each optimizer when it is watched; follows its steps."""
        calls = (self.before_step, self.gradients, self._end_step)
        self._stack.callback(on_step(optimizer, *(functools.partial(self.guarded(call), optimizer) for call in calls)))

    def batch(self, images: object, labels: object) -> None:
        """Called with each batch before its fingerprint is taken."""

    def before_step(self, optimizer: Optimizer) -> None:
        """Called as an optimizer's step begins, before its rates are recorded."""

    def gradients(self, optimizer: Optimizer) -> None:
        """Called each time an optimizer's gradients are there and not yet used, before they are recorded."""

    def after_step(self, optimizer: Optimizer) -> None:
        """Called when an optimizer's step is done."""

    def _end_step(self, optimizer: Optimizer) -> None:
        self.after_step(optimizer)
        self._undo.close()
        self._steps += 1

    def swap_functions(self, functions: Iterable[Function], around: Function) -> None:
        """Let `around(function, *args, **kwargs)` run in place of functions, as `patching.swap_functions`."""
        swap_functions(self._stack, functions, self._guarded_around(around))

    def swap_method(self, owner: type, name: str, around: Function) -> None:
        """Let `around(method, instance, *args, **kwargs)` run in place of a method, as `patching.swap_method`."""
        swap_method(self._stack, owner, name, self._guarded_around(around))

    def guarded(self, call: Function) -> Function:
        """Return a function of ours for the training to call: whatever it raises is an error of the planting."""

        @functools.wraps(call)
        def guard(*args: Any, **kwargs: Any) -> Any:
            with self.ours():
                return call(*args, **kwargs)

        return guard

    def _guarded_around(self, around: Function) -> Function:
        return self.guarded(lambda function, *args, **kwargs: around(self.theirs(function), *args, **kwargs))

    @contextlib.contextmanager
    def ours(self) -> Iterator[None]:
        """Make an error of the planting of whatever a block raises, unless a function of theirs has raised it.

        Raises:
            FaultError: the block raised an exception.
        """
        try:
            yield
        except FaultError:
            raise
        except Exception as error:
            if error is self._theirs:
                raise
            self.error = FaultError.planting(fault=self.name, error=error)
            raise self.error from error
        finally:
            self._theirs = None

    def theirs(self, call: Function) -> Function:
        """Return a function of torch or of the training for a fault to call: what it raises is not ours."""

        @functools.wraps(call)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except Exception as error:
                self._theirs = error
                raise

        return called


def weights(optimizer: Optimizer) -> list[Tensor]:
    """Return an optimizer's parameters."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
