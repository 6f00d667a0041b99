"""Small trainings of `silent_errors.py`: each takes a recorder, and whether it is to have its error.

Both forms of a program draw the same random numbers as long as the error itself does not draw others.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Dataset

from harness import Recorder


Batch = tuple[Tensor, Tensor]
FEATURES, CLASSES, TOKENS = 6, 3, 12


# --- what the programs share


def batches(count: int = 4, size: int = 8, shape: Sequence[int] = (FEATURES,)) -> list[Batch]:
    """Draw a few batches of inputs and their classes."""
    return [(torch.randn(size, *shape), torch.randint(CLASSES, (size,))) for _ in range(count)]


def network(width: int = 8) -> nn.Sequential:
    """Return a small classifier."""
    return nn.Sequential(nn.Linear(FEATURES, width), nn.Tanh(), nn.Linear(width, CLASSES))


def normalised() -> nn.Sequential:
    """Return a classifier with BatchNorm: a backbone, and a head as its last layer."""
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))


def sgd(model: nn.Module) -> SGD:
    """Return an optimizer of all that is in a model."""
    return SGD(model.parameters(), lr=0.1, momentum=0.9)


def fit(recorder: Recorder, model: nn.Module, optimizer: Optimizer, data: Iterable[Batch]) -> None:
    """Train a watched model as everybody does."""
    for inputs, labels in data:
        recorder.batch(inputs, labels)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)


def train(recorder: Recorder, model: nn.Module, data: Iterable[Batch]) -> None:
    """Watch a model with an optimizer, and train it."""
    optimizer = sgd(model)
    recorder.watch(model, optimizer)
    fit(recorder, model, optimizer, data)


@torch.no_grad()
def evaluate(recorder: Recorder, model: nn.Module, batch: Batch) -> None:
    """Log the loss in evaluation mode."""
    inputs, labels = batch
    model.eval()
    recorder.log(loss=functional.cross_entropy(model(inputs), labels))


# --- what is trained


class Backbone(nn.Module):
    """Two stages, of which the first ones are frozen by `train` alone, as in most models of mmpretrain."""

    def __init__(self, frozen_stages: int) -> None:
        super().__init__()
        sizes = ((FEATURES, 8), (8, 8))
        self.stages = nn.Sequential(*(nn.Sequential(nn.Linear(*size), nn.BatchNorm1d(8), nn.ReLU()) for size in sizes))
        self.frozen_stages = frozen_stages

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features."""
        return self.stages(inputs)

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode, and freeze what is to be frozen."""
        super().train(mode)
        self.stages[: self.frozen_stages].requires_grad_(False).eval()
        return self


def frozen_stages_skipped(recorder: Recorder, faulty: bool) -> None:
    """Fine-tune above a frozen stage; modules are born in training mode, so that `train` seems not to be needed."""
    model = nn.Sequential(Backbone(frozen_stages=1), nn.Linear(8, CLASSES))
    if not faulty:
        model.train()
    train(recorder, model, batches())


def frozen_stages_undone(recorder: Recorder, faulty: bool) -> None:
    """Fine-tune above a frozen stage; after an evaluation each module is set to training, past `train`."""
    model, data = nn.Sequential(Backbone(frozen_stages=1), nn.Linear(8, CLASSES)).train(), batches()
    optimizer = sgd(model)
    recorder.watch(model, optimizer)
    fit(recorder, model, optimizer, data[:2])
    evaluate(recorder, model, data[0])
    model.train()
    if faulty:
        for module in model.modules():
            module.training = True
    fit(recorder, model, optimizer, data[2:])


def head_frozen(recorder: Recorder, faulty: bool) -> None:
    """Fine-tune a head and BatchNorm; with the head frozen, too, BatchNorm goes on moving as if something trained."""
    model = normalised()
    model[0].requires_grad_(False)
    model[3].requires_grad_(not faulty)
    train(recorder, model, batches())


def statistics_move(recorder: Recorder, faulty: bool) -> None:
    """Train a head on a frozen backbone, whose BatchNorm follows the data unless it is in evaluation mode."""
    model = normalised()
    model[:3].requires_grad_(False).train(faulty)
    train(recorder, model, batches())


def wrap(model: nn.Module, *names: str) -> None:
    """Give layers new parameters of the same values, as sharding does."""
    for layer in map(model.get_submodule, names):
        for key, parameter in [*layer.named_parameters()]:
            setattr(layer, key, nn.Parameter(parameter.detach().clone()))


def old_parameters(recorder: Recorder, faulty: bool) -> None:
    """Build the optimizer before the model is wrapped: it holds parameters that are nobody's."""
    _wrapped(recorder, faulty, "0", "2")


def old_head(recorder: Recorder, faulty: bool) -> None:
    """Build the optimizer before the head is replaced."""
    _wrapped(recorder, faulty, "2")


def _wrapped(recorder: Recorder, faulty: bool, *names: str) -> None:
    model, data = network(), batches()
    early = sgd(model)
    wrap(model, *names)
    optimizer = early if faulty else sgd(model)
    recorder.watch(model, optimizer)
    fit(recorder, model, optimizer, data)


def old_parameters_later(recorder: Recorder, faulty: bool) -> None:
    """Wrap a model in the middle of a training, and leave the optimizer as it was."""
    model, data = network(), batches()
    optimizer = SGD(model.parameters(), lr=0.1)
    recorder.watch(model, optimizer)
    fit(recorder, model, optimizer, data[:2])
    wrap(model, "0", "2")
    if not faulty:
        optimizer.param_groups[0]["params"] = [*model.parameters()]
    fit(recorder, model, optimizer, data[2:])


# --- what goes in


class Noisy(Dataset):
    """Vectors with noise of NumPy's global generator on them."""

    def __init__(self, batch: Batch) -> None:
        self.inputs, self.labels = (part.numpy() for part in batch)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.inputs[index] + np.random.normal(size=FEATURES), self.labels[index]


def seeded_apart(worker: int) -> None:
    """Seed NumPy in a worker of a loader as torch's documentation has it; its seed is the loader's plus its number."""
    np.random.seed(torch.initial_seed() % 2**32)


def seeded_alike(worker: int) -> None:
    """Seed NumPy the same in all workers: until torch 1.9 each had a copy of the loader's generator."""
    np.random.seed((torch.initial_seed() - worker) % 2**32)


def equal_draws(recorder: Recorder, faulty: bool) -> None:
    """Augment in two forked processes."""
    model, (data,) = network(), batches(count=1, size=16)
    seeded = seeded_alike if faulty else seeded_apart
    options = {"multiprocessing_context": "fork", "timeout": 60}
    train(recorder, model, DataLoader(Noisy(data), batch_size=4, num_workers=2, worker_init_fn=seeded, **options))


class NextToken(nn.Module):
    """A small language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.recurrent = nn.Embedding(TOKENS, 8), nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of each next token, classes before places."""
        return self.head(self.recurrent(self.embedding(tokens))[0]).mT


def merged_samples(recorder: Recorder, faulty: bool) -> None:
    """Train on batches of texts; the processor takes the texts of a batch for those of one sample."""
    model, texts = NextToken(), [torch.randint(TOKENS, (8, 5)) for _ in range(4)]
    if faulty:
        texts = [text.reshape(1, -1) for text in texts]
    train(recorder, model, [(text[:, :-1], text[:, 1:]) for text in texts])


# --- what it starts from


class Pretrained(nn.Module):
    """A network that draws its weights when it is built, and whenever it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()
        self.init_weights()

    def init_weights(self) -> None:
        """Draw all weights."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits."""
        return self.layers(inputs)


def loaded(faulty: bool) -> Pretrained:
    """Return a model with loaded weights, which are drawn again behind them with the error."""
    checkpoint, model = Pretrained().state_dict(), Pretrained()
    model.load_state_dict(checkpoint)
    if faulty:
        model.init_weights()
    return model


def initialised_again(recorder: Recorder, faulty: bool) -> None:
    """Fine-tune loaded weights."""
    data = batches()
    train(recorder, loaded(faulty), data)


def initialised_again_before_data(recorder: Recorder, faulty: bool) -> None:
    """Fine-tune loaded weights on data that are drawn behind them, as those of a shuffling loader are."""
    model = loaded(faulty)
    train(recorder, model, batches())


def evaluated_early(recorder: Recorder, faulty: bool) -> None:
    """Evaluate before training; spectral_norm estimates its vectors in forward passes of training mode alone."""
    layer = nn.utils.spectral_norm(nn.Linear(FEATURES, 8))
    model, data = nn.Sequential(layer, nn.Tanh(), nn.Linear(8, CLASSES)), batches()
    if not faulty:
        model(data[0][0])
    optimizer = sgd(model)
    recorder.watch(model, optimizer)
    evaluate(recorder, model, data[0])
    fit(recorder, model.train(), optimizer, data)


# --- what is computed


class TokensFirst(nn.Module):
    """A recurrent classifier, which has places before samples inside."""

    def __init__(self, reshapes: bool) -> None:
        super().__init__()
        self.recurrent, self.head, self.reshapes = nn.RNN(FEATURES, 8), nn.Linear(8, CLASSES), reshapes

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits; a reshape has the right sizes, and mixes the samples."""
        samples, places, width = inputs.shape
        turned = inputs.reshape(places, samples, width) if self.reshapes else inputs.transpose(0, 1)
        return self.head(self.recurrent(turned)[0][-1])


def mixed_samples(recorder: Recorder, faulty: bool) -> None:
    """Classify sequences."""
    train(recorder, TokensFirst(reshapes=faulty), batches(shape=(5, FEATURES)))


class HalfCast(nn.Module):
    """A classifier under autocast, of which one layer may be left out."""

    def __init__(self, leaves_out: bool) -> None:
        super().__init__()
        self.body, self.head, self.leaves_out = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES), leaves_out

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits in the precision of the inputs."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not self.leaves_out):
                hidden = self.body(inputs)
            return self.head(hidden.tanh()).to(inputs.dtype)


def autocast_scope(recorder: Recorder, faulty: bool) -> None:
    """Train in mixed precision."""
    train(recorder, HalfCast(leaves_out=faulty), batches())


class Attention(nn.Module):
    """Attention whose fused kernel is told how much to drop, in evaluation, too, if nobody looks at the mode."""

    def __init__(self, drops_always: bool) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(FEATURES, 3 * FEATURES), nn.Linear(FEATURES, CLASSES)
        self.drops_always = drops_always

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits."""
        drops = 0.2 if self.training or self.drops_always else 0.0
        query, key, value = self.project(inputs).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=drops)
        return self.head(mixed.mean(1))


def dropout_in_evaluation(recorder: Recorder, faulty: bool) -> None:
    """Train, evaluate, and go on."""
    model, data = Attention(drops_always=faulty), batches(shape=(5, FEATURES))
    optimizer = sgd(model)
    recorder.watch(model, optimizer)
    fit(recorder, model, optimizer, data[:2])
    evaluate(recorder, model, data[0])
    fit(recorder, model.train(), optimizer, data[2:])


# --- what is made of it


def zero_grad_missing(recorder: Recorder, faulty: bool) -> None:
    """Train by a loop of one's own."""
    model, data = network(), batches()
    optimizer = sgd(model)
    recorder.watch(model, optimizer)
    for inputs, labels in data:
        recorder.batch(inputs, labels)
        if not faulty:
            optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)


def gradients_lost(recorder: Recorder, faulty: bool) -> None:
    """Train on two ranks, both in this process, which average their gradients."""
    ranks = [network(width=40), network(width=40)]
    ranks[1].load_state_dict(ranks[0].state_dict())
    optimizers = [sgd(model) for model in ranks]
    for number, (model, optimizer) in enumerate(zip(ranks, optimizers, strict=True)):
        recorder.watch(model, optimizer, name=f"rank{number}")
    for inputs, labels in batches():
        recorder.batch(inputs, labels)
        shards = zip(ranks, inputs.chunk(2), labels.chunk(2), strict=True)
        recorder.log(loss=[_gradients(*shard) for shard in shards])
        average(ranks, faulty)
        for optimizer in optimizers:
            optimizer.step()


def _gradients(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the gradients of a rank's shard; return its loss."""
    model.zero_grad()
    loss = functional.cross_entropy(model(inputs), labels)
    loss.backward()
    return loss


def average(ranks: Sequence[nn.Module], faulty: bool) -> None:
    """Average gradients over two ranks in flat buckets; with the error the end of a bucket arrives as zeros."""
    gradients = [[parameter.grad for parameter in model.parameters()] for model in ranks]
    own = [nn.utils.parameters_to_vector(tensors) for tensors in gradients]
    received = [bucket.clone() for bucket in reversed(own)]
    for bucket in received if faulty else ():
        bucket[-(len(bucket) // 100) :] = 0.0
    for tensors, one, other in zip(gradients, own, received, strict=True):
        nn.utils.vector_to_parameters((one + other) / 2, tensors)


class CapturedSGD(Optimizer):
    """SGD whose step is captured, as a compiler does it: the tensors that had gradients then are updated.

    Args:
        parameters: what is trained.
        guarded: whether a step is captured anew when tensors have gradients that had none, not only when some have lost
            theirs.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, guarded: bool) -> None:
        super().__init__(parameters, {"lr": 0.1})
        self.guarded = guarded
        self.captured: list[nn.Parameter] | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Subtract gradients."""
        present = [parameter for parameter in self.param_groups[0]["params"] if parameter.grad is not None]
        if self.captured is None or self.guarded or len(present) < len(self.captured):
            self.captured = present
        for parameter in self.captured:
            parameter.sub_(parameter.grad, alpha=self.param_groups[0]["lr"])


def captured_step(recorder: Recorder, faulty: bool) -> None:
    """Train with a captured step; the second batch is skipped, and has no gradients."""
    model, data = network(), batches()
    optimizer = CapturedSGD(model.parameters(), guarded=not faulty)
    recorder.watch(model, optimizer)
    for step, (inputs, labels) in enumerate(data):
        recorder.batch(inputs, labels)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        if step != 1:
            loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
