"""Promises of float64 runs: no module computes in lower precision unseen, and a mixture is explained."""

import contextlib
import copy
import functools
import inspect
import operator
import pickle
import threading
from pathlib import Path

import numpy
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.overrides import BaseTorchFunctionMode
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from harness import Recorder, errors
from harness.recording.precision import module_names, named_mixture


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


def unseen(tensor):
    """Where tensors come from that nobody has seen."""
    return ""


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


ROWS = numpy.ones((4, 3), numpy.float32)

MADE = {
    "to": lambda: (torch.ones(4, 3) > 0).to(torch.float32),
    "float": lambda: torch.ones(4, 3).float(),
    "dtype": lambda: torch.ones(4, 3, dtype=torch.float32),
    "tensor": lambda: torch.tensor(ROWS),
    "as_tensor": lambda: torch.as_tensor(ROWS),
    "from_numpy": lambda: torch.from_numpy(ROWS),
    "a part of it": lambda: torch.cat([torch.from_numpy(ROWS), torch.from_numpy(ROWS)])[:4],
}


class Keeping(nn.Linear):
    """Makes float32 in one function and meets float64 with it in another, in a loss or a product."""

    def __init__(self, make, meet):
        super().__init__(3, 3)
        self.meet, self.kept = meet, make()

    def forward(self, inputs):
        """Mix."""
        return self.meet(super().forward(inputs), self.kept)


MET = {
    "computes in": functional.binary_cross_entropy_with_logits,
    "met": lambda inputs, kept: inputs @ kept.T,
}


@pytest.mark.parametrize("meets", MET)
@pytest.mark.parametrize("made", MADE)
def test_the_line_that_made_float32_is_named(made, meets):
    """And the line that computes with it; the one is in another function than the other, and the cause."""
    with pytest.raises(errors.PrecisionError, match=rf"^Keeping {meets} float32") as caught, Recorder() as recorder:
        model = Keeping(MADE[made], MET[meets])
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        model(torch.ones(4, 3))

    where = caught.value.where
    assert where.startswith(f"{__file__}:{MADE[made].__code__.co_firstlineno}, used in line "), where


def test_the_line_that_made_a_loss_or_a_weight_low_is_named():
    """Of a loss that is logged before its backward pass, and of a model that was converted before it is watched."""
    targets = torch.ones(4, 3, dtype=torch.float32)
    with pytest.raises(errors.PrecisionError, match=r"^loss computes") as logged, Recorder() as recorder:
        model = nn.Linear(3, 3)
        recorder.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        recorder.log(loss=functional.binary_cross_entropy_with_logits(model(torch.ones(4, 3)), targets))
    with pytest.raises(errors.PrecisionError, match=r"^weight is float32") as watched, Recorder() as recorder:
        model = nn.Linear(3, 3).float()
        recorder.watch(model)

    of = functools.partial(line_of, test_the_line_that_made_a_loss_or_a_weight_low_is_named)
    assert logged.value.where == f"{of('(loss=')}, used at Recorder.log"
    assert watched.value.where == f"{of('.float()')}, used at Recorder.watch"


def test_what_a_data_set_makes_in_float32_is_named():
    """The line of the data set, not the one that collates its items; and what was seen stays known to the end."""

    class Rows(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return torch.from_numpy(ROWS[index % 4])

    with pytest.raises(errors.PrecisionError) as caught, Recorder() as recorder:
        model = nn.Linear(3, 3)
        recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
        batches = [*DataLoader(Rows(), 4)]
        for rows in [batches[0].double(), batches[1]]:
            recorder.batch(rows)
            model(rows).mean().backward()
            optimizer.step()
            recorder.log(loss=1.0)

    assert caught.value.where.startswith(f"{line_of(Rows.__getitem__, 'from_numpy')}, used in line ")


def test_workers_do_not_look_where_tensors_come_from():
    """They would never end to: they are started beside the look, which goes on here."""

    class Looks(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return torch._C._len_torch_function_stack()

    with contextlib.suppress(errors.RecorderError), Recorder():
        found = [int(looks) for batch in DataLoader(Looks(), 2, num_workers=1) for looks in batch]
        assert torch._C._len_torch_function_stack() == 1

    assert found == [0, 0, 0, 0]


def test_a_loop_in_a_thread_leaves_nothing_behind():
    """The look ends where it began, though the first step ends elsewhere."""
    with Recorder() as recorder:

        def train():
            recorder.watch(model := nn.Linear(3, 3), optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
            for _ in range(2):
                recorder.batch(inputs := torch.rand(4, 3))
                model(inputs).mean().backward()
                optimizer.step()
                recorder.log(loss=1.0)

        thread = threading.Thread(target=train)
        thread.start()
        thread.join()

    assert (recorder.record.num_steps, torch._C._len_torch_function_stack()) == (2, 0)


@pytest.mark.long
def test_a_compiled_model_is_compiled_once():
    """What is compiled while somebody looks would be compiled again without."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    with Recorder() as recorder:
        model = nn.Linear(3, 3)
        model.compile(backend=backend)
        recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
        for _ in range(3):
            recorder.batch(inputs := torch.rand(4, 3))
            loss = model(inputs).mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)

    assert len(graphs) == 1


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

    # the recorder has one of its own on each; on the model, until a pass was seen
    assert (watched, left) == ([2, 2, 2], [0, 1, 1])


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


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # as long as there is TorchScript
def test_scripted_parts_are_left_alone():
    """TorchScript takes no hooks."""
    assert record(torch.jit.script(nn.Linear(3, 3).double())).num_steps == 2


LOW = {
    "float": lambda outputs: outputs.float().mean(),
    "to": lambda outputs: outputs.to(torch.float32).square().to(outputs.dtype).mean(),
    "half": lambda outputs: outputs.half().double().mean(),
    "dtype": lambda outputs: functional.log_softmax(outputs, 1, dtype=torch.float32).mean(),
    "type_as": lambda outputs: outputs.type_as(torch.zeros(1, dtype=torch.float32)).mean(),
    "copy": lambda outputs: torch.zeros(4, 3, dtype=torch.bfloat16).copy_(outputs).mean(),
    "elements": lambda it: operator.setitem(low := torch.zeros(3, dtype=torch.float32), 0, it[0, 0]) or low.sum(),
    "checkpoint": lambda outputs: checkpoint(lambda it: it.float().mean().double(), outputs, use_reentrant=False),
}


@pytest.mark.parametrize("kind", LOW)
def test_a_loss_that_goes_through_lower_precision_is_named(kind):
    """Converted in the loop, and back or not, for a moment or for good: the line that converts is named."""
    with pytest.raises(errors.PrecisionError, match=r"the training loop computes in b?float") as caught:
        record(loss=LOW[kind])

    assert caught.value.where == f"{__file__}:{LOW[kind].__code__.co_firstlineno}"


def test_conversions_that_no_gradient_goes_through_are_no_concern():
    """A metric, a line of a log or a prediction may be computed from what has gradients, in any precision."""

    def loss(outputs):
        loss = outputs.mean()
        assert outputs.float().requires_grad
        assert loss.float().item() == pytest.approx(outputs.half().mean().item(), rel=1e-2)
        return loss

    assert record(loss=loss).num_steps == 2


def test_a_model_of_the_loops_own_may_be_in_float32():
    """What is trained unwatched in float32, fed with what has no gradients, is not the run's."""
    critic = nn.Linear(3, 1, dtype=torch.float32)

    def loss(outputs):
        critic(outputs.detach().float()).mean().backward()
        return outputs.mean()

    assert record(loss=loss).num_steps == 2


@pytest.mark.parametrize("around", [lambda: torch.device("cpu"), BaseTorchFunctionMode])
def test_modes_of_the_loop_end_as_they_began(around):
    """A mode that begins or ends between a pass and its step is gone afterwards, and no other one with it."""

    def loss(outputs):
        with around():
            return outputs.mean()

    class Within(Plain):
        def forward(self, inputs):
            with around():
                return super().forward(inputs)

    with around():
        record(Within(), loss=loss)
        assert torch._C._len_torch_function_stack() == 1
    record(Within(), loss=loss)
    assert torch._C._len_torch_function_stack() == 0


def test_nothing_is_left_of_a_loop_whose_passes_begin_its_steps():
    """A pass that begins the second step ends the look at the first, and does not begin it again."""
    with Recorder() as recorder:
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters())
        recorder.watch(model, optimizer)
        for _ in range(2):
            model(torch.rand(4, 3)).mean().backward()
            optimizer.step()
            recorder.log(loss=1.0)
        assert torch._C._len_torch_function_stack() == 0


def test_the_line_of_a_library_beside_torch_is_named():
    """Torchvision's folder begins as torch's does."""
    beside = Path(torch.__file__).parent.with_name("torchbeside") / "loss.py"
    namespace = {}
    exec(compile("def mean(outputs):\n    return outputs.float().mean().double()", beside, "exec"), namespace)

    class Mean(nn.Linear):
        def forward(self, inputs):
            return namespace["mean"](super().forward(inputs))

    with pytest.raises(errors.PrecisionError) as caught, Recorder() as recorder:
        recorder.watch(model := Mean(3, 3), torch.optim.SGD(model.parameters(), lr=0.1))
        model(torch.rand(4, 3))

    assert caught.value.where == f"{beside}:2"
    record(loss=namespace["mean"])  # what a library does around the model, as a trainer's label smoothing


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
    made = line_of(test_a_mixture_that_torch_refuses_is_explained, "inputs = torch.rand")
    met = line_of(test_a_mixture_that_torch_refuses_is_explained, "part(inputs) if").rpartition(":")[2]
    assert caught.value.where == f"{made}, used in line {met}"
    assert "dtype" in str(caught.value.__context__)


@functools.cache
def layers():
    """Layers that torch has, in float64, with an input of float32 for each."""
    flat, rows, image = (torch.rand(*shape, dtype=torch.float32) for shape in ((4, 4), (3, 2, 4), (8, 4, 32, 32)))
    line, cube = image[:, :, 0], image.view(1, 4, 8, 32, 32)
    made = (
        (nn.Conv1d(4, 4, 3), line), (nn.Conv2d(4, 4, 3), image), (nn.Conv2d(4, 64, 3, bias=False), image),
        (nn.Conv3d(4, 4, 3), cube), (nn.ConvTranspose1d(4, 4, 3), line), (nn.ConvTranspose2d(4, 4, 3), image),
        (nn.ConvTranspose3d(4, 4, 3), cube), (nn.Conv2d(4, 4, 3, padding_mode="reflect", padding=1), image),
        (nn.Linear(4, 4), flat), (nn.Linear(4, 4, bias=False), rows), (nn.Bilinear(4, 4, 2), flat, flat),
        (nn.BatchNorm1d(4), flat), (nn.BatchNorm2d(4, affine=False), image), (nn.LayerNorm(4), flat),
        (nn.GroupNorm(2, 4), flat), (nn.InstanceNorm2d(4, affine=True), image), (nn.PReLU(), flat),
        (nn.RNN(4, 4), rows), (nn.LSTM(4, 4), rows), (nn.GRUCell(4, 4), flat), (nn.LSTMCell(4, 4), flat),
        (nn.MultiheadAttention(4, 2), rows, rows, rows), (nn.TransformerEncoderLayer(4, 2, 8), rows),
        (nn.EmbeddingBag(4, 4, mode="sum"), torch.tensor([[0, 1]]), None, torch.rand(1, 2, dtype=torch.float32)),
    )  # fmt: skip
    return [(layer.double(), *inputs) for layer, *inputs in made]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_batch_in_another_precision_is_explained_in_every_layer(dtype):
    """The commonest mistake: torch has a wording for it in each layer, and ours is one, with the user's line."""
    for layer, *inputs in layers():
        batch = [each.to(dtype) if each is not None and each.is_floating_point() else each for each in inputs]
        with pytest.raises(Exception, match=r"(?i)type") as caught:
            layer(*batch)
        found = named_mixture(caught.value, module_names(layer), "float64", unseen)
        assert found is not None, f"{layer}: {caught.value}"
        both = " and ".join(sorted([str(dtype).removeprefix("torch."), "float64"]))
        assert found.what.endswith(f" met {both} at once, but this run is in float64")
        assert found.where == line_of(test_a_batch_in_another_precision_is_explained_in_every_layer, "layer(*batch)")


OPERATIONS = {
    "product": torch.matmul,
    "vectors": lambda a, b: a[0] @ b[0],
    "batches": lambda a, b: torch.bmm(a[None], b[None]),
    "einsum": lambda a, b: torch.einsum("ij,kj->ik", a, b),
    "inner": torch.inner,
    "tensordot": torch.tensordot,
    "attention": lambda a, b: functional.scaled_dot_product_attention(a, b, b),
    "solve": torch.linalg.solve,
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "scatter": lambda a, b: a.scatter_add(0, torch.zeros(1, 3, dtype=torch.long), b),
    "elements": lambda a, b: a.masked_scatter(a > 0, b),
    "cross-entropy": lambda a, b: functional.cross_entropy(a, torch.tensor([0, 1, 2]), weight=b[0]),
    "binary": lambda a, b: functional.binary_cross_entropy(a, b).backward(),
    "regions": lambda a, b: torchvision.ops.roi_align(a[None, None], [torch.cat([b, b], 1)[:, :4]], 2),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_mixture_in_an_operation_is_explained(operation):
    """Products, losses, assignments, and operations of torchvision: also where torch names no dtype."""
    a, b = torch.rand(3, 3, dtype=torch.float64, requires_grad=True), torch.rand(3, 3, dtype=torch.float32)
    with pytest.raises(RuntimeError) as caught:
        OPERATIONS[operation](a, b)
    found = named_mixture(caught.value, {}, "float64", unseen)

    assert found is not None, caught.value
    assert found.what == "the training loop met float32 and float64 at once, but this run is in float64"


UNRELATED = {
    "shapes": lambda a, b: a @ a[:2],
    "own words": lambda a, b: fail(RuntimeError("expected the same float, got double")),
    "integers": lambda a, b: a @ torch.ones(3, 3, dtype=torch.long),
    "pixels": lambda a, b: nn.Conv1d(3, 3, 1, dtype=torch.float64)(a.byte()),
    "classes": lambda a, b: functional.cross_entropy(a, b[0]),
    "device": lambda a, b: a.detach().to("meta").item(),
    "freed": lambda a, b: (a.exp().sum().backward(), a.exp().sum().backward(torch.ones(2))),
    "a worker": lambda a, b: [*DataLoader([a.float(), b.double()[0]], 2)],
}


def fail(error):
    """Raise something."""
    raise error


@pytest.mark.parametrize("case", UNRELATED)
def test_what_is_not_about_precision_keeps_its_words(case):
    """Also beside tensors in several precisions, and where what is said has their names in it."""
    a, b = torch.rand(3, 3, dtype=torch.float64, requires_grad=True), torch.rand(3, 3, dtype=torch.float32)
    with pytest.raises(Exception, match=r".") as caught:
        UNRELATED[case](a, b)

    assert named_mixture(caught.value, {}, "float64", unseen) is None


def test_a_mixture_in_the_loss_is_explained():
    """Outside every module it is the training loop that mixes; in a float32 run the advice is float32."""
    weight = torch.ones(3, 3, dtype=torch.float64)
    message = "the training loop met float32 and float64 at once, but this run is in float32"
    with pytest.raises(errors.PrecisionError, match=message) as caught:
        record(precision="float32", loss=lambda outputs: functional.linear(outputs, weight).mean())

    assert caught.value.what.endswith(", but this run is in float32")
    assert "float32" in caught.value.fix


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

    assert recorder.record.streams["evaluation/before"].steps == (-1,)
    assert min(recorder.record.streams["update/weight"].values) > 0


def test_a_function_of_torch_that_was_replaced_is_called_once(monkeypatch):
    """Python's part of torch asks the look at precision by name, and that name is the loop's own function by then."""
    real = functional.cross_entropy
    monkeypatch.setattr(functional, "cross_entropy", lambda inputs, targets: 2 * real(inputs, targets))
    with Recorder() as recorder:
        model = nn.Linear(4, 3)
        recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
        recorder.batch(inputs := torch.ones(2, 4))
        outputs, targets = model(inputs), torch.tensor([0, 1])
        loss = functional.cross_entropy(outputs, targets)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)

    assert loss.item() == 2 * real(outputs, targets).item()
