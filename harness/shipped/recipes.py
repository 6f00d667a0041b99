"""The shipped recipes."""

from typing import Literal

from harness.recipe import Recipe


DataName = Literal["synthetic", "cifar10"]


def cifar_cnn(data: DataName = "synthetic") -> Recipe:
    """Three conv-ReLU-maxpool stages of width 12 under everything that a training can have: the default recipe."""
    return Recipe(data=data)


def cifar_resnet(data: DataName = "synthetic") -> Recipe:
    """Conv-BatchNorm-ReLU blocks with a residual and dropout, under everything that a training can have."""
    return Recipe(model="cifar_resnet", data=data, width=8, learning_rate=0.1)


def article(data: DataName = "synthetic") -> Recipe:
    """The article's program, repaired: full width, batches of 64, SGD at 0.001 with momentum 0.9, nothing else.

    Its ten epochs over 50,000 images are cut to one over 136, and it computes in float64: two full batches, the least
    in which one can be told from the next, and a partial one.
    """
    return Recipe(
        name="article",
        model="cifar_cnn",
        data=data,
        width=64,
        epochs=1,
        train_images=136,
        test_images=20,
        batch_size=64,
        accumulation=1,
        augmentation=False,
        learning_rate=0.001,
        nesterov=False,
        weight_decay=0.0,
        schedule="constant",
        warmup_steps=0,
        clip_norm=None,
        label_smoothing=0.0,
        ema_decay=None,
        resume=False,
    )
