"""Loops that differ in what is learned, in their data, and in what is measured."""

import copy

import torch
from torch import distributions, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler
from torchvision.transforms import v2

from tests.loops.loop import adam, batches, cross_entropy, fit, learning, loop, mlp, sgd


def step(optimizer, loss):
    """Zero the gradients, compute them, take a step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@loop(1e-2)
def adversaries(recorder, rate):
    """GAN: two networks, two optimizers, one against the other."""
    maker, judge = mlp(4, 6), mlp(6, 1)
    of_maker, of_judge = (torch.optim.Adam(net.parameters(), lr=rate) for net in (maker, judge))
    recorder.watch(maker, of_maker, name="maker")
    recorder.watch(judge, of_judge, name="judge")
    for inputs, _ in batches():
        recorder.batch(inputs)
        made = maker(torch.randn(8, 4))
        judged = functional.softplus(-judge(inputs)).mean() + functional.softplus(judge(made.detach())).mean()
        step(of_judge, judged)
        fooled = functional.softplus(-judge(made)).mean()
        step(of_maker, fooled)
        recorder.log(judge=judged, maker=fooled)
    return maker, judge


@loop(1e-2)
def penalised_critic(recorder, rate):
    """WGAN: two steps of the critic, with a penalty on its gradient, for each of the generator."""
    maker, critic = mlp(4, 6), mlp(6, 1)
    of_maker, of_critic = sgd(maker, rate), sgd(critic, rate)
    recorder.watch(maker, of_maker, name="maker")
    recorder.watch(critic, of_critic, name="critic")
    for inputs, _ in batches():
        recorder.batch(inputs)
        for _ in range(2):
            made = maker(torch.randn(8, 4)).detach()
            between = (inputs + torch.rand(8, 1) * (made - inputs)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = critic(made).mean() - critic(inputs).mean() + ((slope.norm(2, 1) - 1) ** 2).mean()
            step(of_critic, loss)
        fooled = -critic(maker(torch.randn(8, 4))).mean()
        step(of_maker, fooled)
        recorder.log(critic=loss, maker=fooled)
    return maker, critic


@loop()
def encoder_and_decoder(recorder, rate):
    """VAE: two modules under one optimizer, noise in between, two parts of a loss."""
    encoder, decoder = mlp(6, 4), mlp(2, 6)
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=rate)
    recorder.watch(encoder, optimizer, name="encoder")
    recorder.watch(decoder, optimizer, name="decoder")
    for inputs, _ in batches():
        recorder.batch(inputs)
        mean, scale = encoder(inputs).chunk(2, 1)
        code = distributions.Normal(mean, scale.exp())
        apart = distributions.kl_divergence(code, distributions.Normal(0.0, 1.0)).mean()
        loss = functional.mse_loss(decoder(code.rsample()), inputs)
        step(optimizer, loss + apart)
        recorder.log(loss=loss, apart=apart)
    return encoder, decoder


@learning(1e-2, make=lambda: mlp(7, 6), optimizer=adam)
def denoising(model, inputs, _):
    """Diffusion: noise of a drawn strength is added, and predicted."""
    noise, strength = torch.randn_like(inputs), torch.rand(8, 1)
    noisy = inputs * (1 - strength).sqrt() + noise * strength.sqrt()
    return functional.mse_loss(model(torch.cat([noisy, strength], 1)), noise)


def _with_temperature():
    model = nn.Sequential(mlp(6, 4))
    model.temperature = nn.Parameter(torch.tensor(0.5))
    return model


@learning(make=_with_temperature)
def contrastive(model, inputs, _):
    """Two views of each input shall find each other, at a temperature that is learned."""
    one, other = (functional.normalize(model(inputs + 0.1 * torch.randn_like(inputs))) for _ in range(2))
    return functional.cross_entropy(one @ other.T / model.temperature.exp(), torch.arange(8))


@learning(make=lambda: mlp(6, 4), data=lambda: (([*torch.randn(3, 8, 6)], None) for _ in range(4)))
def triplets(model, three, _):
    """Three passes of one model: an anchor, one like it, one unlike it."""
    return nn.TripletMarginLoss()(*map(model, three))


def _unaligned():
    for inputs, _ in batches(7, 3, 6):
        yield inputs, {"labels": torch.randint(1, 4, (3, 2)), "lengths": torch.tensor([2, 1, 2])}


@learning(make=lambda: nn.Linear(6, 4), data=_unaligned)
def unaligned_sequences(model, inputs, targets):
    """CTC: labels without a place in the sequence."""
    found = model(inputs).log_softmax(2)
    return functional.ctc_loss(found, targets["labels"], torch.tensor([7, 6, 5]), targets["lengths"])


@loop()
def policy_gradient(recorder, rate):
    """REINFORCE: actions are drawn, and rewarded."""
    policy = mlp()
    optimizer = sgd(policy, rate)
    recorder.watch(policy, optimizer)
    for _ in range(4):
        state, chances, rewards = torch.zeros(6), [], []
        for _ in range(3):
            choice = distributions.Categorical(logits=policy(state))
            action = choice.sample()
            chances.append(choice.log_prob(action))
            state = state + torch.randn(6) * (action + 1)
            rewards.append(-state.square().mean())
        loss = -(torch.stack(chances) * torch.stack(rewards)).sum()
        step(optimizer, loss)
        recorder.log(loss=loss, reward=torch.stack(rewards).sum())
    return policy


@loop(1e-2)
def actor_and_critic(recorder, rate):
    """Two methods of one module, which is never called itself, and several steps on one batch."""

    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.actor, self.critic = mlp(), mlp(6, 1)

        def judge(self, states, actions):
            choice = distributions.Categorical(logits=self.actor(states))
            return choice.log_prob(actions), self.critic(states)[:, 0], choice.entropy()

    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=rate)
    recorder.watch(agent, optimizer)
    for states, actions in batches(steps=4):
        recorder.batch(states, actions)
        with torch.no_grad():
            before, values, _ = agent.judge(states, actions)
        for _ in range(2):
            chances, found, entropy = agent.judge(states, actions)
            ratio, better = (chances - before).exp(), states.sum(1) - values
            gain = torch.min(ratio * better, ratio.clamp(0.8, 1.2) * better).mean()
            loss = -gain + functional.mse_loss(found, states.sum(1)) - 0.01 * entropy.mean()
            step(optimizer, loss)
        recorder.log(loss=loss)
    return agent


def _heads():
    model = nn.ModuleDict({"body": mlp(6, 5), "classes": nn.Linear(5, 3), "sizes": nn.Linear(5, 1)})
    model.weights = nn.Parameter(torch.zeros(2))
    return model


@learning(make=_heads)
def several_heads(model, inputs, targets):
    """A loss for each head of a model, added up with weights that are learned."""
    body = model["body"](inputs)
    first = functional.cross_entropy(model["classes"](body), targets)
    second = functional.huber_loss(model["sizes"](body)[:, 0], inputs.sum(1))
    losses = torch.stack([first, second])
    (losses * (-model.weights).exp() + model.weights).sum().backward()
    return {"losses": losses}


@loop()
def mixed_up(recorder, rate):
    """Mixup: inputs and one-hot targets of two images each, in shares that are drawn."""

    def data():
        for inputs, targets in batches():
            share, order = distributions.Beta(0.4, 0.4).sample(), torch.randperm(8)
            soft = functional.one_hot(targets, 3).double()
            yield inputs.lerp(inputs[order], share), soft.lerp(soft[order], share)

    model = mlp()
    return fit(recorder, model, sgd(model, rate), data())


@loop()
def evaluated_between_steps(recorder, rate):
    """An evaluation of several batches after each epoch, in evaluation mode."""
    model = nn.Sequential(mlp(), nn.Dropout(0.2))
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    for _ in range(2):
        model.train()
        for inputs, targets in batches(steps=2):
            recorder.batch(inputs, targets)
            loss = cross_entropy(model, inputs, targets)
            step(optimizer, loss)
            recorder.log(loss=loss)
        model.eval()
        with torch.inference_mode():
            found = [(model(inputs), targets) for inputs, targets in batches(steps=2)]
        losses = [functional.cross_entropy(outputs, targets) for outputs, targets in found]
        recorder.log(loss=sum(losses) / 2, accuracy=[(o.argmax(1) == t).double().mean() for o, t in found])
    return model


@loop()
def losses_of_an_epoch(recorder, rate):
    """Only the mean loss of each epoch is told, after its last step."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    for _ in range(2):
        total = 0.0
        for inputs, targets in batches(steps=2):
            recorder.batch(inputs, targets)
            loss = cross_entropy(model, inputs, targets)
            step(optimizer, loss)
            total += loss.item()
        recorder.log(loss=total / 2)
    return model


@loop()
def without_telling_batches(recorder, rate):
    """The recorder is told of losses alone; it sees the steps itself."""
    model = mlp()
    optimizer = sgd(model, rate)
    recorder.watch(model, optimizer)
    for inputs, targets in batches():
        loss = cross_entropy(model, inputs, targets)
        step(optimizer, loss)
        recorder.log(loss=loss)
    return model


@loop()
def parts_by_turns(recorder, rate):
    """One half of a model is trained in even steps, the other in odd ones, each by an optimizer of its own."""
    model = mlp()
    optimizers = sgd(model[0], rate), sgd(model[2], rate)
    for optimizer in optimizers:
        recorder.watch(model, optimizer)
    for number, (inputs, targets) in enumerate(batches()):
        recorder.batch(inputs, targets)
        model.zero_grad()
        loss = cross_entropy(model, inputs, targets)
        loss.backward()
        optimizers[number % 2].step()
        recorder.log(loss=loss)
    return model


@loop()
def folds(recorder, rate):
    """Cross-validation: the same start for each fold, each under its own name."""
    start, trained = mlp(), []
    for fold in range(2):
        model = copy.deepcopy(start)
        optimizer = sgd(model, rate)
        recorder.watch(model, optimizer, name=f"fold{fold}")
        for inputs, targets in batches(steps=2):
            recorder.batch(inputs, targets)
            loss = cross_entropy(model, inputs, targets)
            step(optimizer, loss)
            recorder.log(loss=loss)
        trained.append(model)
    return tuple(trained)


# --- data


class Items(Dataset):
    """Sixteen dictionaries with an image, a class and a name."""

    def __len__(self):
        """Return how many there are."""
        return 16

    def __getitem__(self, index):
        """Return one."""
        return {"image": torch.rand(6) + index / 16, "class": index % 3, "name": f"image {index}"}


def _items():
    return ((batch, batch["class"]) for batch in DataLoader(Items(), batch_size=3, shuffle=True, drop_last=True))


@learning(data=_items, steps=5)
def dictionaries(model, batch, classes):
    """Batches are dictionaries, some of whose values are no tensors; the last batch is smaller."""
    return functional.cross_entropy(model(batch["image"]), classes)


def _sets():
    return (([torch.randn(2 + number, 6) for number in range(count)], None) for count in (2, 1, 3, 2))


@learning(data=_sets)
def lists_of_any_length(model, sets, _):
    """Batches are lists of tensors that have no common shape."""
    return sum(model(each).mean(0).square().sum() for each in sets)


def _side_by_side():
    labelled = DataLoader(TensorDataset(torch.randn(8, 6), torch.randint(3, (8,))), 2, shuffle=True)
    others = DataLoader(torch.randn(16, 6), 4, shuffle=True)
    for (inputs, targets), unlabelled in zip(labelled, others, strict=True):
        yield [inputs, unlabelled], targets


@learning(data=_side_by_side)
def labelled_and_not(model, inputs, targets):
    """Two loaders side by side: few images with labels, more without."""
    loss = functional.cross_entropy(model(inputs[0]), targets)
    sure = functional.softmax(model(inputs[1]), 1).max(1).values.mean()
    (loss - 0.1 * sure).backward()
    return {"loss": loss, "sure": sure}


class Endless(IterableDataset):
    """Draws for ever."""

    def __iter__(self):
        """Yield inputs and classes."""
        while True:
            yield torch.randn(6), torch.randint(3, ())


@loop()
def stream(recorder, rate):
    """An iterable data set without an end; the loop counts the steps."""
    model = mlp()
    data = (batch for _, batch in zip(range(4), DataLoader(Endless(), batch_size=8), strict=False))
    return fit(recorder, model, sgd(model, rate), data)


@loop()
def drawn_by_weight(recorder, rate):
    """A sampler that draws rare classes more often, with a generator of its own."""
    model = mlp()
    generator = torch.Generator().manual_seed(1)
    sampler = WeightedRandomSampler(torch.arange(1.0, 17.0), 16, generator=generator)
    data = TensorDataset(torch.randn(16, 6), torch.randint(3, (16,)))
    return fit(recorder, model, sgd(model, rate), DataLoader(data, 4, sampler=sampler))


@loop()
def augmented(recorder, rate):
    """Transforms of torchvision on the bytes of images, normalised in the default dtype."""
    change = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(8, padding=1),
            v2.ColorJitter(0.2, 0.2),
            v2.ToDtype(torch.get_default_dtype(), scale=True),
            v2.Normalize([0.5] * 3, [0.2] * 3),
        ]
    )
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    images = (torch.randint(256, (8, 3, 8, 8), dtype=torch.uint8) for _ in range(4))
    return fit(recorder, model, sgd(model, rate), ((change(x), torch.randint(3, (8,))) for x in images))


def _three_numbers():
    return nn.ParameterDict({name: nn.Parameter(torch.tensor(0.1)) for name in ("length", "size", "noise")})


@learning(1e-2, make=_three_numbers, optimizer=adam)
def gaussian_process(model, inputs, targets):
    """No layers: three numbers decide over a matrix, which is taken apart."""
    distances = torch.cdist(inputs, inputs).square()
    matrix = model["size"].exp() * torch.exp(-distances / model["length"].exp())
    matrix = matrix + model["noise"].exp() * torch.eye(8)
    return -distributions.MultivariateNormal(torch.zeros(8), matrix).log_prob(targets.double())
