"""Loops that differ in how gradients come about, and in what is done to them before the step."""

import warnings

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, parameters_to_vector, vector_to_parameters
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.loops.loop import adam, batches, cross_entropy, fit, learning, loop, mlp, sgd


class Checkpointed(nn.Module):
    """Forgets what its first half computed, and computes it again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.rest, self.reentrant = nn.Sequential(mlp(6, 6), nn.Dropout(0.2)), mlp(), reentrant

    def forward(self, x):
        """Return logits."""
        return self.rest(checkpoint(self.first, x, use_reentrant=self.reentrant))


@loop()
def checkpointed(recorder, rate):
    """Activation checkpointing as it is advised today."""
    model = Checkpointed(reentrant=False)
    return fit(recorder, model, sgd(model, rate))


@loop()
def checkpointed_reentrant(recorder, rate):
    """Activation checkpointing as it was: a backward pass within the backward pass."""
    model = Checkpointed(reentrant=True)
    return fit(recorder, model, sgd(model, rate), ((x.requires_grad_(), y) for x, y in batches()))


@learning()
def checkpointed_from_outside(model, inputs, targets):
    """The watched model itself runs again in the backward pass."""
    return functional.cross_entropy(checkpoint(model, inputs, use_reentrant=False), targets)


@learning()
def checkpointed_in_parts(model, inputs, targets):
    """A sequence of layers, by `checkpoint_sequential`."""
    outputs = checkpoint_sequential(model, 2, inputs, use_reentrant=False)
    return functional.cross_entropy(outputs, targets)


@learning()
def losses_one_after_another(model, inputs, targets):
    """Two losses of one graph, which the first backward pass has to keep."""
    outputs = model(inputs)
    losses = functional.cross_entropy(outputs, targets), 0.1 * outputs.square().mean()
    losses[0].backward(retain_graph=True)
    losses[1].backward()
    return {"loss": losses[0], "size": losses[1]}


@learning()
def gradients_by_autograd_grad(model, inputs, targets):
    """Gradients that are computed without `backward`, and written into the weights."""
    loss = cross_entropy(model, inputs, targets)
    for parameter, value in zip(model.parameters(), torch.autograd.grad(loss, model.parameters()), strict=True):
        parameter.grad = value
    return {"loss": loss}


@learning()
def penalised_gradient(model, inputs, targets):
    """A penalty on the gradient of the inputs: a backward pass through a backward pass."""
    inputs.requires_grad_()
    loss = cross_entropy(model, inputs, targets)
    (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
    (loss + slope.square().sum()).backward()
    return {"loss": loss, "slope": slope.norm()}


@learning()
def curvature(model, inputs, targets):
    """Gradients of the gradient's norm, by `backward(create_graph=True)`."""
    loss = cross_entropy(model, inputs, targets)
    slopes = torch.autograd.grad(loss, model.parameters(), create_graph=True)
    penalty = sum(slope.square().sum() for slope in slopes)
    (loss + 0.1 * penalty).backward()
    return {"loss": loss, "penalty": penalty}


@learning()
def functional_model(model, inputs, targets):
    """The model is called with weights from outside."""
    return functional.cross_entropy(functional_call(model, dict(model.named_parameters()), (inputs,)), targets)


@learning()
def functional_gradients(model, inputs, targets):
    """`torch.func.grad` of a functional model."""

    def loss_of(weights):
        return functional.cross_entropy(functional_call(model, weights, (inputs,)), targets)

    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    slopes = grad(loss_of)(weights)
    for name, parameter in model.named_parameters():
        parameter.grad = slopes[name]
    return {"loss": loss_of(weights)}


@learning()
def gradients_of_each_sample(model, inputs, targets):
    """Differentially private training: `vmap` of `grad`, each gradient clipped, noise added to their sum."""

    def loss_of(weights, x, y):
        return functional.cross_entropy(functional_call(model, weights, (x[None],)), y[None])

    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    slopes = vmap(grad(loss_of), (None, 0, 0))(weights, inputs, targets)
    for name, parameter in model.named_parameters():
        sizes = slopes[name].flatten(1).norm(dim=1).clamp(min=1).reshape(-1, *[1] * parameter.ndim)
        parameter.grad = (slopes[name] / sizes).mean(0) + 0.01 * torch.randn_like(parameter)
    return {"loss": loss_of(weights, inputs[0], targets[0])}


@learning()
def forward_gradients(model, inputs, targets):
    """No backward pass: the slope in one random direction, in forward mode."""

    def loss_of(weights):
        return functional.cross_entropy(functional_call(model, weights, (inputs,)), targets)

    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    directions = {name: torch.randn_like(weight) for name, weight in weights.items()}
    with warnings.catch_warnings(action="ignore"):  # torch's own, at the first call
        loss, slope = jvp(loss_of, (weights,), (directions,))
    for name, parameter in model.named_parameters():
        parameter.grad = slope * directions[name]
    return {"loss": loss}


@learning()
@torch.no_grad()
def without_gradients(model, inputs, targets):
    """Evolution: the weights are moved to and fro at random, and the losses stand in for a gradient."""
    start = parameters_to_vector(model.parameters())
    slope = torch.zeros_like(start)
    for direction in torch.randn(3, len(start)):
        vector_to_parameters(start + 0.01 * direction, model.parameters())
        slope += cross_entropy(model, inputs, targets) * direction
    vector_to_parameters(start, model.parameters())
    for parameter, part in zip(model.parameters(), slope.split([p.numel() for p in model.parameters()]), strict=True):
        parameter.grad = part.view_as(parameter)
    return {"loss": cross_entropy(model, inputs, targets)}


@learning()
def learning_to_learn(model, inputs, targets):
    """MAML: a step on one half of the batch, whose effect on the other half is what counts."""
    weights = dict(model.named_parameters())
    inner = functional.cross_entropy(functional_call(model, weights, (inputs[:4],)), targets[:4])
    slopes = torch.autograd.grad(inner, weights.values(), create_graph=True)
    weights = {name: weights[name] - 0.1 * slope for name, slope in zip(weights, slopes, strict=True)}
    loss = functional.cross_entropy(functional_call(model, weights, (inputs[4:],)), targets[4:])
    loss.backward()
    return {"inner": inner, "loss": loss}


@loop()
def scaled_gradients(recorder, rate):
    """`GradScaler`: gradients that are scaled up, brought back and clipped."""
    model = mlp()
    optimizer = sgd(model, rate)
    scaler = torch.amp.GradScaler("cpu")
    recorder.watch(model, optimizer)
    for inputs, targets in batches():
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
        recorder.log(loss=loss)
    return model


@loop()
def scaler_leaves_a_step_out(recorder, rate):
    """`GradScaler` meets an infinite gradient in the second batch, and takes a step there that moves nothing."""
    model = mlp()
    optimizer = sgd(model, rate)
    scaler = torch.amp.GradScaler("cpu")
    recorder.watch(model, optimizer)
    for number, (inputs, targets) in enumerate(batches()):
        recorder.batch(inputs, targets)
        optimizer.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        scaler.scale(loss * (torch.inf if number == 1 else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        recorder.log(loss=loss)
    return model


@loop(steps=3)
def accumulated(recorder, rate):
    """Three batches a step, the last of which lacks one."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    for number, (inputs, targets) in enumerate(batches(steps=8)):
        recorder.batch(inputs, targets)
        loss = cross_entropy(model, inputs, targets) / 3
        loss.backward()
        recorder.log(loss=loss)
        if number % 3 == 2 or number == 7:
            optimizer.step()
            optimizer.zero_grad()
    return model


@learning()
def clipped(model, inputs, targets):
    """Gradients that are bounded by value, then by norm."""
    loss = cross_entropy(model, inputs, targets)
    loss.backward()
    clip_grad_value_(model.parameters(), 0.05)
    return {"loss": loss, "norm": clip_grad_norm_(model.parameters(), 0.1)}


@loop()
def noisy_gradients(recorder, rate):
    """Langevin dynamics: noise is added to each gradient by a hook of the weight's."""
    model = mlp()
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: gradient + 0.01 * torch.randn_like(gradient))
    return fit(recorder, model, sgd(model, rate))


@loop()
def hooks_of_modules(recorder, rate):
    """The user's own hooks on forward and backward passes change what goes through."""
    model = mlp()
    model[0].register_forward_hook(lambda module, inputs, output: output * 2)
    model[2].register_full_backward_hook(lambda module, grads, _: tuple(each / 2 for each in grads))
    model.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return fit(recorder, model, sgd(model, rate))


class Straight(torch.autograd.Function):
    """The sign, whose gradient passes straight through where inputs are small."""

    @staticmethod
    def forward(ctx, x):
        """Return the sign."""
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Return the gradient of a bounded identity."""
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 1)


@learning()
def own_function(model, inputs, targets):
    """A function with a backward pass of its own: binary activations."""
    return functional.cross_entropy(model[2](Straight.apply(model[0](inputs))), targets)


@learning()
def saved_tensors_packed(model, inputs, targets):
    """What the backward pass needs is stored elsewhere meanwhile."""
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach().numpy().copy(), torch.from_numpy):
        return cross_entropy(model, inputs, targets)


@learning()
def conflicting_gradients(model, inputs, targets):
    """PCGrad: what two tasks' gradients have against each other is taken out."""
    outputs = model(inputs)
    losses = functional.cross_entropy(outputs, targets), outputs.square().mean()
    one, other = (
        parameters_to_vector(torch.autograd.grad(loss, model.parameters(), retain_graph=True)) for loss in losses
    )
    if one @ other < 0:
        one = one - (one @ other) / (other @ other) * other
    sizes = [p.numel() for p in model.parameters()]
    for parameter, part in zip(model.parameters(), (one + other).split(sizes), strict=True):
        parameter.grad = part.view_as(parameter)
    return {"loss": losses[0], "size": losses[1]}


@learning(1e-2, optimizer=adam)
def adversarial(model, inputs, targets):
    """A second pass on inputs that were moved up the slope, and a third without gradients beside it."""
    moved = inputs.clone().requires_grad_()
    (slope,) = torch.autograd.grad(functional.cross_entropy(model(moved), targets), moved)
    loss = functional.cross_entropy(model(inputs + 0.1 * slope.sign()), targets)
    loss.backward()
    with torch.no_grad():
        clean = cross_entropy(model, inputs, targets)
    return {"loss": loss, "clean": clean}
