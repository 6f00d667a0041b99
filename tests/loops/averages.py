"""Loops beside whose model another one lives: an average, a teacher, a target."""

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from tests.loops.loop import adam, batches, cross_entropy, fit, loop, mlp, sgd


@loop()
def averaged_weights(recorder, rate):
    """SWA: an average from the third step on, at a rate of its own; its BatchNorm is brought up to date at the end."""
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    optimizer, average = sgd(model, rate), AveragedModel(model)
    schedule = SWALR(optimizer, swa_lr=rate / 2, anneal_epochs=2)
    recorder.watch(average)

    def after(step):
        if step > 1:
            average.update_parameters(model)
            schedule.step()

    fit(recorder, model, optimizer, after=after)
    update_bn(batches(), average)
    return model, average


@loop()
def moving_average(recorder, rate):
    """EMA by torch's own class, evaluated in the end."""
    model = mlp()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    recorder.watch(average)
    fit(recorder, model, sgd(model, rate), after=lambda step: average.update_parameters(model))
    for inputs, targets in batches(steps=1):
        average.eval()
        with torch.no_grad():
            recorder.log(loss=functional.cross_entropy(average(inputs), targets))
    return model, average


def _drawn_to(average, model):
    """What draws an average a little nearer to its model after each step."""

    def after(step):
        for slow, parameter in zip(average.parameters(), model.parameters(), strict=True):
            slow.lerp_(parameter.detach(), 0.1)

    return after


@loop()
def moving_average_by_hand(recorder, rate):
    """EMA as everybody writes it; nobody watches it."""
    model = mlp()
    average = copy.deepcopy(model).requires_grad_(False)
    return fit(recorder, model, sgd(model, rate), after=_drawn_to(average, model)), average


@loop()
def average_of_a_watched_model(recorder, rate):
    """A copy that is taken after `watch`, hooks and all, and evaluated between the steps."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    average = copy.deepcopy(model).requires_grad_(False)
    draw = _drawn_to(average, model)
    for step, (inputs, targets) in enumerate(batches()):
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
        draw(step)
        with torch.no_grad():
            recorder.evaluation(loss=cross_entropy(average, inputs, targets))
    return model, average


@loop()
def distilled(recorder, rate):
    """A frozen teacher runs beside the student, without gradients."""
    teacher, model = mlp().eval(), mlp()
    recorder.watch(teacher, name="teacher")

    def learn(model, inputs, targets):
        with torch.no_grad():
            soft = teacher(inputs).softmax(1)
        outputs = model(inputs)
        return functional.cross_entropy(outputs, soft) + functional.cross_entropy(outputs, targets)

    return teacher, fit(recorder, model, sgd(model, rate), learn=learn)


@loop()
def own_teacher(recorder, rate):
    """BYOL: the student predicts what its own average makes of another view."""
    whole = nn.Sequential(mlp(), nn.Linear(3, 3))
    teacher = copy.deepcopy(whole[0]).requires_grad_(False)

    def learn(whole, inputs, _):
        wanted = teacher(inputs + 0.1 * torch.randn_like(inputs))
        return -functional.cosine_similarity(whole(inputs), wanted).mean()

    return fit(recorder, whole, sgd(whole, rate), learn=learn, after=_drawn_to(teacher, whole[0])), teacher


@loop(1e-2)
def learned_values(recorder, rate):
    """DQN: transitions out of a memory, and a target that is copied every second step."""
    model, target = mlp(), mlp()
    target.load_state_dict(model.state_dict())
    memory, rewards = torch.randn(20, 6), torch.randn(20)
    drawn = (torch.randint(19, (8,)) for _ in range(4))

    def learn(model, states, chosen):
        with torch.no_grad():
            wanted = rewards[chosen] + 0.9 * target(memory[chosen + 1]).max(1).values
        values, actions = model(states).max(1)
        loss = functional.smooth_l1_loss(values, wanted)
        loss.backward()
        return {"loss": loss, "actions": actions.double().mean()}

    def after(step):
        if step % 2:
            target.load_state_dict(model.state_dict())

    data = ((memory[chosen], chosen) for chosen in drawn)
    return fit(recorder, model, adam(model, rate), data, learn, after), target
