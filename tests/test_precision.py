"""Promises of float64 runs: no module computes in lower precision unseen, and a mixture is explained."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from harness import Recorder, errors


class Plain(nn.Module):
    """Computes in the dtype of its input."""

    def forward(self, inputs):
        """Square."""
        return inputs.square()


class Insistent(Plain):
    """Computes in float32, whatever comes in, and hides it."""

    def forward(self, inputs):
        """Square in float32."""
        return super().forward(inputs.float()).to(inputs.dtype)


def record(*parts, precision="float64", dtype=None, loss=None, steps=2):
    """Train Linear and some parts; inputs are in the run's dtype or another."""
    with Recorder(precision=precision) as recorder:
        model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(*parts))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(steps):
            inputs = torch.rand(4, 3, dtype=dtype)
            recorder.batch(inputs)
            optimizer.zero_grad()
            value = (loss or torch.mean)(model(inputs))
            value.backward()
            optimizer.step()
            recorder.log(loss=value)
    return recorder.record


def line_of(function, text):
    """File and line of a text in a function."""
    lines, start = inspect.getsourcelines(function)
    return f"{__file__}:{start + next(i for i, line in enumerate(lines) if text in line)}"


def test_a_module_that_computes_in_float32_is_named():
    """A conversion to float32 and back inside a module leaves no trace but noise: it ends the run, with its line."""
    with pytest.raises(errors.PrecisionError) as caught:
        record(nn.ReLU(), Insistent())

    assert caught.value.what == "1.1 (Insistent) computes in float32, but this run is in float64"
    assert caught.value.where == line_of(Insistent.forward, "inputs.float()")


def test_a_part_that_is_called_by_itself_is_looked_into():
    """Loops need not call the model as a whole: what any module of it computes counts."""
    named = r"1\.0 \(Insistent\) computes in float32"
    with pytest.raises(errors.PrecisionError, match=named), Recorder() as recorder:
        model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(Insistent()))
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        model[1][0](model[0](torch.rand(4, 3)))


def test_a_loss_in_float32_is_named():
    """Binary cross-entropy takes on the dtype of its targets without a word."""
    targets = torch.zeros(4, 3, dtype=torch.float32)
    with pytest.raises(errors.PrecisionError, match=r"^the training loop computes in float32") as caught:
        record(loss=lambda outputs: functional.binary_cross_entropy_with_logits(outputs, targets))

    assert caught.value.where == line_of(test_a_loss_in_float32_is_named, "with_logits(outputs")


def test_float32_without_gradients_is_no_concern():
    """Metrics, masks and evaluations may be in any precision, and so may whole runs in float32."""

    class Counting(Plain):
        def forward(self, inputs):
            self.positive = (inputs > 0).float().mean()
            return super().forward(inputs)

    def loss(outputs):
        with torch.no_grad():
            Insistent()(outputs)
        return outputs.mean()

    assert record(Counting(), loss=loss).num_steps == 2
    assert record(Insistent(), precision="float32").num_steps == 2


def test_float64_is_checked_in_the_first_step_only():
    """Afterwards modules carry no hook for it, so it costs nothing."""
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(3, 3), Plain())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        watched = [len(module._forward_hooks) for module in model.modules()]
        for _ in range(2):
            inputs = torch.rand(4, 3)
            recorder.batch(inputs)
            left = [len(module._forward_hooks) for module in model.modules()]
            model(inputs).mean().backward()
            optimizer.step()
            recorder.log(loss=1.0)

    assert (watched, left) == ([2, 1, 1], [1, 0, 0])  # the recorder has one of its own on the model


def test_a_run_that_fails_leaves_nothing_behind():
    """After an exception in a forward pass, neither hooks nor the look into torch's results are left."""
    model = nn.Sequential(nn.Linear(3, 3), Insistent()).double()
    with pytest.raises(errors.PrecisionError, match="computes in float32"), Recorder() as recorder:
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        model(torch.rand(4, 3))

    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model(torch.rand(4, 3, dtype=torch.float64)).requires_grad  # computes in float32 as before


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_watched_model_are_free(copied):
    """A copy that is made before the first step may compute as it likes."""
    with pytest.raises(errors.PrecisionError, match="computes in float32"), Recorder() as recorder:
        model = nn.Sequential(nn.Linear(3, 3), Insistent())
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        assert copied(model)(torch.rand(4, 3)).requires_grad
        model(torch.rand(4, 3))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # as long as there is TorchScript
def test_scripted_parts_are_left_alone():
    """TorchScript takes no hooks."""
    assert record(torch.jit.script(nn.Linear(3, 3).double())).num_steps == 2


@pytest.mark.parametrize(
    ("part", "name"),
    [(nn.Identity(), "0 (Linear)"), (nn.LayerNorm(3).double(), "1.0 (LayerNorm)")],
    ids=["matrix product", "normalisation"],
)
def test_a_mixture_that_torch_refuses_is_explained(part, name):
    """Torch names dtypes; the error adds the module, the line of the loop, and what to do."""
    with pytest.raises(errors.PrecisionError) as caught, Recorder() as recorder:
        model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(part))
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        inputs = torch.rand(4, 3, dtype=torch.float32)
        part(inputs) if name.startswith("1") else model(inputs)

    assert caught.value.what == f"{name} met float32 and float64 at once, but this run is in float64"
    assert caught.value.where == line_of(test_a_mixture_that_torch_refuses_is_explained, "part(inputs) if")
    assert "dtype" in str(caught.value.__context__)


def test_a_mixture_in_the_loss_is_explained():
    """Outside every module it is the training loop that mixes; in a float32 run the advice is float32."""
    weight = torch.ones(3, 3, dtype=torch.float64)
    message = "the training loop met float32 and float64 at once, but this run is in float32"
    with pytest.raises(errors.PrecisionError, match=message) as caught:
        record(precision="float32", loss=lambda outputs: functional.linear(outputs, weight).mean())

    assert caught.value.what.endswith(", but this run is in float32")
    assert ".to(torch.float32)" in caught.value.fix


def test_other_exceptions_are_left_as_they_are():
    """An error that is none of dtypes passes as it is."""

    def fail(_):
        raise RuntimeError("there is no float in this bucket")

    with pytest.raises(RuntimeError, match="no float in this bucket"):
        record(loss=fail)


def test_an_evaluation_in_inference_mode_may_come_first():
    """The weights that it finds are those that the first update is held against."""
    with Recorder() as recorder:
        model = nn.Linear(3, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        with torch.inference_mode():
            recorder.log(before=model(torch.rand(4, 3)).mean())
        for _ in range(2):
            model(torch.rand(4, 3)).mean().backward()
            optimizer.step()
            recorder.log(loss=1.0)

    assert recorder.record.streams["evaluation/before"].steps == (0,)
    assert min(recorder.record.streams["update/weight"].values) > 0
