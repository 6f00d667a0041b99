"""Loops that differ in what the model is made of."""

import warnings

import torch
from torch import nn
from torch.ao import quantization
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from tests.loops.loop import LOOPS, Loop, batches, cross_entropy, fit, learning, loop, mlp, sgd, tokens


def _of(name, make, *shape, **traits):
    def train(recorder, rate):
        model = make()
        return fit(recorder, model, sgd(model, rate), batches(*shape))

    train.__name__ = name
    return Loop(train, **traits)


def _parametrized(put):
    model = mlp()
    put(model[0])
    return model


def _bare(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


class Shared(nn.Module):
    """One layer used three times, and its weight once more, transposed."""

    def __init__(self):
        super().__init__()
        self.layer, self.again, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.again.weight = self.layer.weight
        self.also = self.layer

    def forward(self, x):
        """Return logits."""
        x = self.also(self.again(self.layer(x).tanh()).tanh())
        return self.head(functional.linear(x, self.layer.weight.T))


class Lists(nn.Module):
    """Weights in lists and dictionaries, one of which is never used."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(6)) for _ in range(2)])
        self.heads = nn.ModuleDict({"used": nn.Linear(6, 3), "never": nn.Linear(6, 2)})
        self.shifts = nn.ParameterDict({"all": nn.Parameter(torch.zeros(3))})

    def forward(self, x):
        """Return logits."""
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = (layer(x) * scale).tanh()
        return self.heads["used"](x) + self.shifts["all"]


class Experts(nn.Module):
    """A router chooses one of five experts for each input: some are not used in a step."""

    def __init__(self):
        super().__init__()
        self.router, self.experts = nn.Linear(6, 5), nn.ModuleList([nn.Linear(6, 3) for _ in range(5)])

    def forward(self, x):
        """Return logits."""
        share, chosen = self.router(x).softmax(1).max(1)
        output = x.new_zeros(len(x), 3)
        for number, expert in enumerate(self.experts):
            if (chosen == number).any():
                output[chosen == number] = expert(x[chosen == number])
        return output * share[:, None]


class Complex(nn.Module):
    """Complex weights between real inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3, dtype=torch.complex128)

    def forward(self, x):
        """Return the size of each output."""
        return self.layer(torch.fft.fft(x)).abs()


class LowRank(nn.Module):
    """LoRA: a frozen layer and a product of two thin ones, the second of which starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(6, 3).requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.zeros(3, 2))

    def forward(self, x):
        """Return logits."""
        return self.base(x) + x @ self.down.T @ self.up.T


class Last(nn.Module):
    """Something recurrent, and a layer on its last output."""

    def __init__(self, kind, **options):
        super().__init__()
        self.recurrent = kind(6, 5, batch_first=True, **options)
        self.head = nn.Linear(5 * (1 + options.get("bidirectional", False)), 3)

    def forward(self, x):
        """Return logits."""
        return self.head(self.recurrent(x)[0][:, -1])


class Odd(nn.Module):
    """Weights and buffers of every layout and dtype that torch lets one keep."""

    def __init__(self):
        super().__init__()
        self.layer, self.mask = mlp(), nn.Parameter(torch.ones(3, dtype=torch.bool), requires_grad=False)
        self.sparse, self.none = nn.Parameter(torch.eye(6).to_sparse()), nn.Parameter(torch.empty(0, 3))
        self.turned = nn.Parameter(torch.randn(3, dtype=torch.complex128).conj())
        self.order = nn.Parameter(torch.arange(6), requires_grad=False)
        with warnings.catch_warnings(action="ignore"):  # beta, torch says
            rows = torch.eye(6).to_sparse_csr()
        for name, buffer in {
            "rows": rows,
            "eighths": torch.ones(3).to(torch.float8_e4m3fn),
            "halves": torch.ones(3, dtype=torch.float16),
            "wide": torch.ones(1, 3).expand(4, 3),
            "nothing": None,
        }.items():
            self.register_buffer(name, buffer)

    def forward(self, x):
        """Return logits."""
        x = torch.sparse.mm(self.rows, torch.sparse.mm(self.sparse, x.T)).T[:, self.order]
        return self.layer(x) * self.mask * self.turned.abs()


class Power(nn.Module):
    """Keeps its own count of passes, and bounds its weights when it runs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.register_buffer("not_kept", torch.ones(6), persistent=False)

    def forward(self, x):
        """Return logits."""
        self.passes += 1
        with torch.no_grad():
            self.layer.weight.renorm_(2, 0, 1.0)
        return self.layer(x * self.not_kept)


def _pruned():
    model = mlp()
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def _orthogonal(layer):
    parametrizations.orthogonal(layer, orthogonal_map="cayley")


class Symmetric(nn.Module):
    """The upper triangle on both sides."""

    def forward(self, x):
        """Return a symmetric matrix."""
        return x.triu() + x.triu(1).T


def _symmetric():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    parametrize.register_parametrization(model[0], "weight", Symmetric())
    return model


def _attention():
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
    return _bare(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


CONVOLUTION = (4, 2, 6, 6)
SEQUENCES = (4, 5, 6)
LOOPS += [
    _of("weight_norm", lambda: _parametrized(parametrizations.weight_norm)),
    _of("spectral_norm", lambda: _parametrized(parametrizations.spectral_norm)),
    _of("orthogonal_weights", lambda: _parametrized(_orthogonal)),
    _of("symmetric_weights", _symmetric),
    _of("pruned_weights", _pruned),
    _of("shared_weights", Shared),
    _of("lists_of_weights", Lists),
    _of("mixture_of_experts", Experts),
    _of("complex_weights", Complex),
    _of("low_rank", LowRank),
    _of("odd_weights", Odd),
    _of("bounded_weights", Power),
    _of("lazy_layers", lambda: _bare(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.ReLU()), *CONVOLUTION, noise=True),
    _of("batch_norm", lambda: _bare(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), *CONVOLUTION, noise=True),
    _of("group_norm", lambda: _bare(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.SiLU()), *CONVOLUTION),
    _of("instance_norm", lambda: _bare(nn.InstanceNorm2d(2, affine=True, track_running_stats=True)), *CONVOLUTION),
    _of("pools_and_dropout", lambda: _bare(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.Dropout2d(0.3)), *CONVOLUTION),
    _of("transposed_convolution", lambda: _bare(nn.ConvTranspose2d(2, 3, 3, 2), nn.PReLU()), *CONVOLUTION),
    _of("rnn", lambda: Last(nn.RNN), *SEQUENCES),
    _of("lstm", lambda: Last(nn.LSTM, num_layers=2, dropout=0.2, bidirectional=True), *SEQUENCES),
    _of("gru", lambda: Last(nn.GRU), *SEQUENCES),
    _of("transformer", _attention, *SEQUENCES, noise=True),
]


@loop()
def tied_language_model(recorder, rate):
    """Embedding and head are one weight; the loss of all places, some of which are left out."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(9, 6, padding_idx=0), nn.Linear(6, 9, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x):
            return self.head(self.embedding(x).cumsum(1)).transpose(1, 2)

    model = Tied()
    data = ((x, y.masked_fill(y == 0, -100)) for x, y in tokens())
    return fit(recorder, model, sgd(model, rate), data)


@loop()
def bag_of_words(recorder, rate):
    """An embedding bag with sparse gradients, and a dense head."""
    model = nn.Sequential(nn.EmbeddingBag(9, 6, sparse=True), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    return fit(recorder, model, optimizer, ((x, y[:, 0] % 3) for x, y in tokens()))


@loop()
def bounded_embedding(recorder, rate):
    """Embeddings that are shortened, in place, when they are looked up."""
    model = nn.Sequential(nn.Embedding(9, 6, max_norm=1.0, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(42, 3))
    return fit(recorder, model, sgd(model, rate), ((x, y[:, 0] % 3) for x, y in tokens()))


@learning(make=lambda: nn.LSTM(6, 3, batch_first=True), data=lambda: batches(*SEQUENCES))
def packed_sequences(model, inputs, targets):
    """Sequences of several lengths, packed."""
    packed = nn.utils.rnn.pack_padded_sequence(inputs, torch.tensor([5, 4, 2, 1]), batch_first=True)
    return functional.cross_entropy(model(packed)[1][0][-1], targets)


@loop()
def state_carried_over(recorder, rate):
    """Truncated backpropagation through time: the hidden state goes on from batch to batch."""
    whole = nn.ModuleList([nn.GRUCell(6, 5), nn.Linear(5, 3)])
    states = [torch.zeros(8, 5)]

    def learn(whole, inputs, targets):
        states.append(whole[0](inputs, states[-1].detach()))
        return functional.cross_entropy(whole[1](states[-1]), targets)

    return fit(recorder, whole, sgd(whole, rate), learn=learn)


def _quantisation_aware(recorder, rate, settings):
    with warnings.catch_warnings(action="ignore"):  # deprecated, but in use
        model = nn.Sequential(quantization.QuantStub(), mlp(), quantization.DeQuantStub()).train()
        model.qconfig = settings
        quantization.prepare_qat(model, inplace=True)

    def after(step):
        if step == 1:
            model.apply(quantization.disable_observer)

    return fit(recorder, model, sgd(model, rate), after=after)


@loop(precision="float32")
def quantisation_aware(recorder, rate):
    """Fused observers and fake quantisation, which know float32 alone; observers rest from the third step on."""
    return _quantisation_aware(recorder, rate, quantization.get_default_qat_qconfig("fbgemm"))


@loop(refused="(FusedMovingAvgObsFakeQuantize) met float32 and float64 at once, but this run is in float64")
def quantisation_aware_in_float64(recorder, rate):
    """Fused observers refuse float64."""
    return _quantisation_aware(recorder, rate, quantization.get_default_qat_qconfig("fbgemm"))


@loop()
def quantisation_aware_by_channel(recorder, rate):
    """Observers of their own, which resize their buffers when they see the first weight."""
    weight = quantization.default_per_channel_weight_fake_quant
    settings = quantization.QConfig(activation=quantization.default_fake_quant, weight=weight)
    return _quantisation_aware(recorder, rate, settings)


@loop()
def compiled(recorder, rate):
    """A model that torch.compile runs, which is watched itself."""
    model = mlp()
    call = torch.compile(model, backend="eager")
    return fit(recorder, call, sgd(model, rate))


@loop(long=True)
def compiled_with_its_gradients(recorder, rate):
    """As well as its backward pass; the compiled function is no module."""
    model = mlp()
    loss_of = torch.compile(lambda x, y: functional.cross_entropy(model(x), y), backend="aot_eager")

    def learn(_, inputs, targets):
        with warnings.catch_warnings(action="ignore"):  # torch's own, where a hook of anybody's parts what it compiles
            return loss_of(inputs, targets)

    return fit(recorder, model, sgd(model, rate), learn=learn)


@loop(long=True)
def compiled_step(recorder, rate):
    """The optimizer's step is compiled, too: what the recorder does in it is not."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    step = torch.compile(optimizer.step, backend="eager")
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        step()
        recorder.log(loss=loss)
    return model


@loop()
def traced(recorder, rate):
    """A model that is traced before it is trained."""
    with warnings.catch_warnings(action="ignore"):
        model = torch.jit.trace(mlp(), torch.randn(8, 6))
    return fit(recorder, model, sgd(model, rate))


@loop(refused="a module that torch.jit.script made takes no hooks")
def scripted(recorder, rate):
    """A model that is compiled by the old compiler before it is trained."""
    with warnings.catch_warnings(action="ignore"):  # deprecated, but in use
        model = torch.jit.script(mlp())
    return fit(recorder, model, sgd(model, rate))


@loop()
def graph_of_a_model(recorder, rate):
    """A module that torch.fx wrote."""
    model = torch.fx.symbolic_trace(mlp())
    return fit(recorder, model, sgd(model, rate))


@loop()
def wrapped_for_devices(recorder, rate):
    """`DataParallel`, which passes everything on where there is no GPU."""
    model = nn.DataParallel(mlp())
    model.device_ids = []
    return fit(recorder, model, sgd(model, rate))


def _contracting():
    model = nn.Linear(3, 3)
    with torch.no_grad():
        model.weight *= 0.3
    return model


@learning(make=_contracting, data=lambda: batches(8, 3))
def deep_equilibrium(model, inputs, targets):
    """A layer that runs until it rests, without gradients, and once more with them."""
    with torch.no_grad():
        state = torch.zeros_like(inputs)
        for _ in range(5):
            state = (model(state) + inputs).tanh()
    return functional.cross_entropy((model(state) + inputs).tanh(), targets)
