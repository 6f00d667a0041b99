"""Promises of the small CNNs."""

import numpy as np
import pytest
import torch
from torch import nn

from harness import Recipe, errors
from harness.shipped.models import MODELS, CifarCNN, CifarResNet, Dropout, build_model


@pytest.fixture(autouse=True)
def _float64():
    """Build and compute in float64, and leave the random state as it was."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(before)


def convolution(x_NCHW, weight_OCHW, bias_O):
    """3x3 convolution, padding 1, written out."""
    height, width = x_NCHW.shape[2:]
    padded_NCHW = np.pad(x_NCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out_NOHW = np.zeros((len(x_NCHW), len(weight_OCHW), height, width)) + bias_O[:, None, None]
    for row in range(3):
        for column in range(3):
            window_NCHW = padded_NCHW[:, :, row : row + height, column : column + width]
            out_NOHW += np.einsum("nchw,oc->nohw", window_NCHW, weight_OCHW[:, :, row, column])
    return out_NOHW


def halved(x_NCHW):
    """2x2 max-pooling, written out."""
    corners = [x_NCHW[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return np.maximum.reduce(corners)


def test_cifar_cnn_computes_what_the_article_describes():
    """Three times convolution, ReLU and pooling, then one linear layer: the logits of a plain NumPy program."""
    model = CifarCNN(width=2)
    images_NCHW = torch.randn(3, 3, 32, 32)
    weights = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}

    x_NCHW = images_NCHW.numpy()
    for name in ("conv1", "conv2", "conv3"):
        x_NCHW = halved(np.maximum(convolution(x_NCHW, weights[f"{name}.weight"], weights[f"{name}.bias"]), 0))
    expected_NK = x_NCHW.reshape(3, -1) @ weights["classifier.weight"].T + weights["classifier.bias"]

    np.testing.assert_allclose(model(images_NCHW).detach().numpy(), expected_NK, rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 64])
def test_the_classifier_sees_what_three_poolings_leave(width):
    """4 * width channels of 4x4 pixels: 4,096 at the article's width, where its own listing says 256."""
    assert CifarCNN(width).classifier.in_features == 4 * width * 16


def test_the_articles_network_has_its_parameters():
    """Width 64: three convolutions and a linear layer, 411,786 numbers."""
    counts = {name: parameter.numel() for name, parameter in CifarCNN(width=64).named_parameters()}

    assert counts == {
        "conv1.weight": 64 * 3 * 9,
        "conv1.bias": 64,
        "conv2.weight": 128 * 64 * 9,
        "conv2.bias": 128,
        "conv3.weight": 256 * 128 * 9,
        "conv3.bias": 256,
        "classifier.weight": 10 * 4096,
        "classifier.bias": 10,
    }
    assert sum(counts.values()) == 411_786


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_a_shipped_model_returns_a_row_of_logits_an_image(name, training):
    """Shape (N, 10), in training and in evaluation."""
    model = build_model(Recipe(model=name, width=2)).train(training)

    assert model(torch.randn(5, 3, 32, 32)).shape == (5, 10)


def test_cifar_resnet_has_a_residual():
    """With the last block silent its input goes through; without the residual nothing but the bias would be left."""
    model = CifarResNet(width=2).eval()
    nn.init.zeros_(model.block4.conv.weight)
    x_NCHW = images_NCHW = torch.randn(3, 3, 32, 32)
    for block in (model.block1, model.block2, model.block3):
        x_NCHW = block(x_NCHW).relu()

    logits_NK = model(images_NCHW)

    assert x_NCHW.shape == (3, 8, 8, 8)
    assert torch.equal(logits_NK, model.classifier(x_NCHW.mean((2, 3))))
    assert not torch.equal(logits_NK, model.classifier.bias.expand(3, 10))


def test_cifar_resnet_adds_its_last_block_before_the_relu():
    """A last block that takes its input away leaves zeros: the sum goes through ReLU, not the block alone."""
    model = CifarResNet(width=2).eval()
    model.block4 = Negative()

    assert torch.equal(model(torch.randn(3, 3, 32, 32)), model.classifier.bias.expand(3, 10))


class Negative(nn.Module):
    """A block that returns its input with the sign turned, and a little less."""

    def forward(self, x):
        """Return -x - 1."""
        return -x - 1


def test_cifar_resnet_drops_features_in_training_only():
    """Two passes differ in training, though nothing else is random, and agree in evaluation."""
    model = CifarResNet(width=2, dropout=0.5)
    images_NCHW = torch.randn(3, 3, 32, 32)

    assert not torch.equal(model(images_NCHW), model(images_NCHW))
    model.eval()
    assert torch.equal(model(images_NCHW), model(images_NCHW))


@pytest.mark.parametrize(("probability", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_drops_nothing_is_the_identity(probability, training):
    """In evaluation, and with probability 0, it returns its input and draws nothing."""
    x, before = torch.randn(4, 5), torch.get_rng_state()

    assert Dropout(probability).train(training)(x) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dropout_draws_its_mask_from_the_cpu_generator(dtype):
    """The mask is that of float64 draws of the global generator, whatever the precision of the input."""
    x = torch.ones(40, 50, dtype=dtype)
    torch.manual_seed(7)
    kept = torch.rand(40, 50, dtype=torch.float64) >= 0.25

    torch.manual_seed(7)
    dropped = Dropout(0.25)(x)

    assert dropped.dtype == dtype
    assert torch.equal(dropped, x * kept / 0.75)


def test_dropout_repeats_its_mask_for_a_seed_and_only_then():
    """One seed gives one mask; the next draw and another seed give others."""
    dropout, x = Dropout(0.5), torch.ones(64)

    def masks(seed):
        torch.manual_seed(seed)
        return dropout(x), dropout(x)

    first, second = masks(1)
    again, _ = masks(1)
    other, _ = masks(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(probability):
    """What stays is scaled up: the mean of 100,000 ones stays within five standard errors of 1."""
    dropped = Dropout(probability)(torch.ones(100_000))
    error = (probability / (1 - probability) / 100_000) ** 0.5

    assert float(dropped.mean()) == pytest.approx(1, abs=5 * error)
    assert float((dropped == 0).double().mean()) == pytest.approx(probability, abs=0.01)


def a_module():
    """A model function."""
    return nn.Linear(2, 10)


def no_module():
    """A model function that returns something else."""
    return [nn.Linear(2, 10)]


def test_a_function_builds_the_model():
    """A recipe's function is called without arguments and what it returns is the model."""
    assert isinstance(build_model(Recipe(model=a_module)), nn.Linear)


def test_a_recipe_sets_width_and_dropout_of_a_shipped_model():
    """Shipped models take their sizes from the recipe."""
    assert build_model(Recipe(model="cifar_cnn", width=3)).conv1.out_channels == 3
    resnet = build_model(Recipe(model="cifar_resnet", width=3, dropout=0.25))
    assert (resnet.block1.conv.out_channels, resnet.dropout.probability) == (3, 0.25)


def test_an_unknown_name_is_refused_with_the_known_ones():
    """A misspelt model ends in an error that lists the models there are."""
    with pytest.raises(errors.ArgumentError) as caught:
        build_model(Recipe(model="vgg"))

    assert str(caught.value) == (
        "model cannot be 'vgg'\n"
        "  where  Recipe(model=...)\n"
        "  fix    model must be one of cifar_cnn, cifar_resnet, or a function"
    )


def test_a_function_that_returns_no_module_is_named():
    """The error says what came back, and from which function."""
    with pytest.raises(errors.ModelError) as caught:
        build_model(Recipe(model=no_module))

    assert str(caught.value) == (
        "the model function returned list, not a torch.nn.Module\n"
        f"  where  model {__name__}.no_module\n"
        "  fix    return the module itself"
    )
