"""Loops that differ in their rate from step to step, and in when they stop."""

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler

from tests.loops.loop import LOOPS, Loop, batches, cross_entropy, fit, loop, mlp, sgd


def _scheduled(name, make):
    def train(recorder, rate):
        model = mlp()
        optimizer = sgd(model, rate)
        scheduler = make(optimizer, rate)
        return fit(recorder, model, optimizer, after=lambda step: scheduler.step())

    train.__name__ = name
    return train


def _chained(optimizer, rate):
    parts = [lr_scheduler.ConstantLR(optimizer, 0.5, 2), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    return lr_scheduler.ChainedScheduler(parts, optimizer)


def _sequential(optimizer, rate):
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2), lr_scheduler.CosineAnnealingLR(optimizer, 2)]
    return lr_scheduler.SequentialLR(optimizer, parts, [2])


LOOPS += [
    Loop(_scheduled("one_cycle", lambda optimizer, rate: lr_scheduler.OneCycleLR(optimizer, rate, total_steps=5))),
    Loop(_scheduled("cyclic", lambda optimizer, rate: lr_scheduler.CyclicLR(optimizer, rate / 4, rate, 2))),
    Loop(
        _scheduled(
            "lambda_of_the_step", lambda optimizer, rate: lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (n + 1))
        )
    ),
    Loop(_scheduled("warm_restarts", lambda optimizer, rate: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2))),
    Loop(_scheduled("multi_step", lambda optimizer, rate: lr_scheduler.MultiStepLR(optimizer, [1, 3]))),
    Loop(_scheduled("polynomial", lambda optimizer, rate: lr_scheduler.PolynomialLR(optimizer, 4))),
    Loop(_scheduled("chained_schedules", _chained)),
    Loop(_scheduled("sequential_schedules", _sequential)),
]


@loop()
def plateau(recorder, rate):
    """The rate falls when the loss of the evaluation does not."""
    model = mlp()
    optimizer = sgd(model, rate)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
    (inputs, targets), *_ = batches(steps=1)

    def after(step):
        with torch.no_grad():
            loss = cross_entropy(model, inputs, targets)
        recorder.evaluation(loss=loss)
        scheduler.step(loss)

    return fit(recorder, model, optimizer, after=after)


@loop()
def rate_by_hand(recorder, rate):
    """A warm-up that writes into the parameter groups."""
    model = mlp()
    optimizer = sgd(model, rate)

    def after(step):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 2) / 3)

    return fit(recorder, model, optimizer, after=after)


@loop()
def early_stopping(recorder, rate):
    """Stops when the evaluation is no better, and goes back to the best weights."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    (held_out, classes), *data = batches(steps=20)
    best, kept, worse = float("inf"), None, 0
    for number, (inputs, targets) in enumerate(data):
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        value = cross_entropy(model, inputs, targets)
        value.backward()
        optimizer.step()
        recorder.log(loss=value)
        model.eval()
        with torch.no_grad():
            loss = functional.cross_entropy(model(held_out), classes) + (number > 1)
        recorder.log(loss=loss)
        model.train()
        worse = 0 if loss < best else worse + 1
        if not worse:
            best, kept = float(loss), copy.deepcopy(model.state_dict())
        if worse == 2:
            break
    model.load_state_dict(kept)
    return model


@loop()
def frozen_then_unfrozen(recorder, rate):
    """The first layer is trained from the third step on."""
    model = mlp()
    model[0].requires_grad_(False)
    return fit(recorder, model, sgd(model, rate), after=lambda step: model[0].requires_grad_(step > 0))


@loop()
def unfrozen_then_frozen(recorder, rate):
    """The first layer is trained in the first two steps only."""
    model = mlp()
    return fit(recorder, model, sgd(model, rate), after=lambda step: model[0].requires_grad_(step < 1))


def _saved(model, optimizer):
    return copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})


@loop()
def resumed(recorder, rate):
    """Another model and optimizer go on from a checkpoint in the middle."""
    model = mlp()
    optimizer = sgd(model, rate)
    fit(recorder, model, optimizer, batches(steps=2))
    saved = _saved(model, optimizer)
    model = mlp()
    optimizer = sgd(model, rate)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return fit(recorder, model, optimizer, batches(steps=2))


@loop()
def rolled_back(recorder, rate):
    """The same model goes back to a checkpoint after two steps, as after a spike of the loss."""
    model = mlp()
    optimizer = sgd(model, rate)
    saved = _saved(model, optimizer)

    def after(step):
        if step == 1:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])

    return fit(recorder, model, optimizer, after=after)


@loop()
def line_search_by_hand(recorder, rate):
    """A step, a look at what it does, back to where it began, and half of it."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    recorder.watch(model, optimizer)
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        start = copy.deepcopy(model.state_dict())
        optimizer.step()
        with torch.no_grad():
            better = cross_entropy(model, inputs, targets) < loss - 1
        if not better:
            model.load_state_dict(start)
            optimizer.param_groups[0]["lr"] = rate / 2
            optimizer.step()
            optimizer.param_groups[0]["lr"] = rate
        recorder.log(loss=loss)
    return model


@loop()
def bounded_after_evaluation(recorder, rate):
    """Weights are evaluated as they are, then bounded: an update that belongs to the step that comes."""
    model = mlp()

    def after(step):
        with torch.no_grad():
            recorder.evaluation(size=model(torch.ones(1, 6)).norm())
            for parameter in model.parameters():
                parameter.clamp_(-0.3, 0.3)

    return fit(recorder, model, sgd(model, rate), after=after)


@loop()
def model_replaced(recorder, rate):
    """A wider model of the same layers takes the first one's place in the middle."""
    small = mlp()
    fit(recorder, small, sgd(small, rate), batches(steps=2))
    wide = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 3))
    return small, fit(recorder, wide, sgd(wide, rate), batches(steps=2))
