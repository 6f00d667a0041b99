"""Loops that differ in who moves the weights, and when."""

import torch
from torch import nn, optim

from tests.loops.loop import LOOPS, Loop, batches, cross_entropy, fit, learning, loop, mlp, sgd


def _plain(kind, **options):
    def train(recorder, rate):
        model = mlp()
        return fit(recorder, model, kind(model.parameters(), lr=rate, **options))

    train.__name__ = "_".join([kind.__name__.lower(), *options])
    return train


LOOPS += [
    Loop(_plain(optim.SGD, nesterov=True, momentum=0.9, weight_decay=0.01)),
    Loop(_plain(optim.Adam, amsgrad=True), 1e-2),
    Loop(_plain(optim.AdamW, maximize=True), 1e-2),
    Loop(_plain(optim.Adam, fused=True), 1e-2),
    Loop(_plain(optim.Adam, foreach=True), 1e-2),
    Loop(_plain(optim.Adadelta), 1.0),
    Loop(_plain(optim.Adafactor), 1e-2),
    Loop(_plain(optim.Adagrad)),
    Loop(_plain(optim.Adamax), 1e-2),
    Loop(_plain(optim.ASGD)),
    Loop(_plain(optim.NAdam), 1e-2),
    Loop(_plain(optim.RAdam), 1e-2),
    Loop(_plain(optim.RMSprop, centered=True), 1e-2),
    Loop(_plain(optim.Rprop), 1e-2),
]


@loop()
def rate_as_a_tensor(recorder, rate):
    """A learning rate that is a tensor, as `torch.compile` likes it."""
    model = mlp()
    return fit(recorder, model, optim.Adam(model.parameters(), lr=torch.tensor(rate)))


@loop(1e-2)
def muon_and_adam(recorder, rate):
    """Muon for matrices, AdamW for the rest: two optimizers of one model."""
    model = mlp()
    optimizers = (
        optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=rate),
        optim.AdamW([p for p in model.parameters() if p.ndim < 2], lr=rate),
    )
    for optimizer in optimizers:
        recorder.watch(model, optimizer)
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        model.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        recorder.log(loss=loss)
    return model


@loop(1e-2)
def sparse_adam(recorder, rate):
    """Sparse gradients of an embedding, under the optimizer that is made for them."""
    model = nn.Embedding(9, 3, sparse=True)
    optimizer = optim.SparseAdam(model.parameters(), lr=rate)
    data = ((torch.randint(9, (8,)), targets) for _, targets in batches())
    return fit(recorder, model, optimizer, data)


def _with_closures(recorder, model, optimizer, step):
    """Train with `step(closure)` once a batch."""
    recorder.watch(model, optimizer)
    for inputs, targets in batches():

        def closure(inputs=inputs, targets=targets):
            optimizer.zero_grad()
            loss = cross_entropy(model, inputs, targets)
            loss.backward()
            return loss

        recorder.batch(inputs, targets)
        recorder.log(loss=step(closure))
    return model


def _lbfgs(recorder, rate, search=None):
    model = mlp()
    optimizer = optim.LBFGS(model.parameters(), lr=rate, max_iter=4, line_search_fn=search)
    return _with_closures(recorder, model, optimizer, optimizer.step)


@loop(0.5)
def lbfgs(recorder, rate):
    """A closure that is called several times in a step."""
    return _lbfgs(recorder, rate)


@loop(0.5)
def lbfgs_with_line_search(recorder, rate):
    """A closure that is called as often as the line search likes."""
    return _lbfgs(recorder, rate, "strong_wolfe")


@loop()
def closure_of_sgd(recorder, rate):
    """An ordinary optimizer that is given a closure."""
    model = mlp()
    optimizer = sgd(model, rate)
    return _with_closures(recorder, model, optimizer, lambda closure: optimizer.step(closure=closure))


@learning()
def sharpness_aware(model, inputs, targets):
    """SAM: a step up the slope, a second pass there, back, and a step down."""
    loss = cross_entropy(model, inputs, targets)
    loss.backward()
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * parameter.grad / parameter.grad.norm()
    model.zero_grad()
    cross_entropy(model, inputs, targets).backward()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), before, strict=True):
            parameter.copy_(value)
    return {"loss": loss}


@loop(1e-2)
def optimizer_in_backward(recorder, rate):
    """An optimizer for each weight, which steps as soon as the gradient is there and frees it."""
    model = mlp()
    optimizers = {parameter: optim.Adam([parameter], lr=rate) for parameter in model.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter, optimizer in optimizers.items():
        recorder.watch(model, optimizer)
        parameter.register_post_accumulate_grad_hook(step)
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        recorder.log(loss=loss)
    return model


@loop(1e-2)
def swapped_optimizer(recorder, rate):
    """Adam to begin with, SGD from the third step on."""
    model = mlp()
    optimizer = optim.Adam(model.parameters(), lr=rate)
    recorder.watch(model, optimizer)
    for step, (inputs, targets) in enumerate(batches()):
        if step == 2:
            optimizer = optim.SGD(model.parameters(), lr=rate)
            recorder.watch(model, optimizer)
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    return model


@loop()
def group_added_later(recorder, rate):
    """The head is trained from the start, the rest from the third step on."""
    model = mlp()
    optimizer = optim.SGD(model[2].parameters(), lr=rate)

    def after(step):
        if step == 1:
            optimizer.add_param_group({"params": list(model[0].parameters()), "lr": rate / 10})

    return fit(recorder, model, optimizer, after=after)


@loop()
def groups_without_decay(recorder, rate):
    """Weights decay, biases do not."""
    model = mlp()
    biases = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": biases, "lr": rate / 2},
    ]
    return fit(recorder, model, optim.SGD(groups, lr=rate))


class Lookahead(optim.Optimizer):
    """Goes half way back to slow weights every second step; wraps another optimizer."""

    def __init__(self, base):
        self.base, self.taken = base, 0
        super().__init__(base.param_groups, base.defaults)
        self.param_groups = base.param_groups
        self.slow = [p.detach().clone() for group in base.param_groups for p in group["params"]]

    def step(self, closure=None):
        """Take the other optimizer's step."""
        self.base.step(closure)
        self.taken += 1
        if self.taken % 2 == 0:
            fast = (p for group in self.param_groups for p in group["params"])
            for parameter, slow in zip(fast, self.slow, strict=True):
                slow.lerp_(parameter.detach(), 0.5)
                parameter.data.copy_(slow)


@loop()
def optimizer_of_ones_own(recorder, rate):
    """Lookahead, an optimizer around another."""
    model = mlp()
    return fit(recorder, model, Lookahead(sgd(model, rate)))


@loop()
def skipped_steps(recorder, rate):
    """Every second batch is left out, since its loss is too small."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    for number, (inputs, targets) in enumerate(batches(steps=8)):
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        if number % 2 == 0:
            continue
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    return model


@loop(shows="update")
def update_by_hand(recorder, rate):
    """No optimizer: the loop moves the weights itself, and says so."""
    model = mlp()
    recorder.watch(model)
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        model.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
        recorder.step()
        recorder.log(loss=loss)
    return model
