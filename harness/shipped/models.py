"""The small CNNs for 32x32 RGB images, by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import ArgumentError, ModelError
from harness.recipe import CLASSES, Recipe


class Dropout(nn.Module):
    """Dropout whose mask is drawn on the CPU, so that one seed gives one mask on every device."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Return x with elements dropped in training, x itself in evaluation; any shape."""
        if not self.training or self.probability == 0:
            return x
        # float64 draws are the same on every instruction set; drawing in x's dtype would not be
        kept = torch.rand(x.shape, dtype=torch.float64) >= self.probability
        return x * kept.to(x.device) / (1 - self.probability)


class CifarCNN(nn.Module):
    """The article's network: three times convolution, ReLU and max-pooling, then one linear layer.

    Three poolings by 2 leave 4x4 of a 32x32 image, so the classifier sees 4 * width * 4 * 4 features. The
    article's own listing gives it 256 and stops at the first batch; with width 64 this is its network, repaired.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.classifier = nn.Linear(4 * width * 4 * 4, CLASSES)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits of shape (N, 10) for images of shape (N, 3, 32, 32)."""
        x_NCHW = images_NCHW
        for convolution in (self.conv1, self.conv2, self.conv3):
            x_NCHW = functional.max_pool2d(functional.relu(convolution(x_NCHW)), 2)
        logits_NK: Tensor = self.classifier(x_NCHW.flatten(1))
        return logits_NK


class _Block(nn.Module):
    """Convolution without bias (BatchNorm has one), BatchNorm."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        normed_NCHW: Tensor = self.norm(self.conv(x_NCHW))
        return normed_NCHW


class CifarResNet(nn.Module):
    """Four blocks of convolution, BatchNorm and ReLU, the last one with a residual; dropout; one linear layer.

    The form of He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2, cut down to a
    network that trains in seconds.
    """

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.block1 = _Block(3, width)
        self.block2 = _Block(width, 2 * width, stride=2)
        self.block3 = _Block(2 * width, 4 * width, stride=2)
        self.block4 = _Block(4 * width, 4 * width)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(4 * width, CLASSES)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits of shape (N, 10) for images of shape (N, 3, 32, 32)."""
        x_NCHW = images_NCHW
        for block in (self.block1, self.block2, self.block3):
            x_NCHW = functional.relu(block(x_NCHW))
        features_NC = functional.relu(x_NCHW + self.block4(x_NCHW)).mean((2, 3))
        logits_NK: Tensor = self.classifier(self.dropout(features_NC))
        return logits_NK


MODELS: dict[str, Callable[[Recipe], nn.Module]] = {
    "cifar_cnn": lambda recipe: CifarCNN(recipe.width),
    "cifar_resnet": lambda recipe: CifarResNet(recipe.width, recipe.dropout),
}
"""Builders of the shipped models, by name."""


def build_model(recipe: Recipe) -> nn.Module:
    """Build a recipe's model, with weights drawn from the global generator in the default dtype."""
    if isinstance(recipe.model, str):
        if recipe.model not in MODELS:
            raise ArgumentError.of("Recipe", "model", recipe.model, f"one of {', '.join(MODELS)}, or a function")
        return MODELS[recipe.model](recipe)
    model = recipe.model()
    if not isinstance(model, nn.Module):
        raise ModelError.not_a_module(found=type(model).__name__, model=recipe.model_name)
    return model
