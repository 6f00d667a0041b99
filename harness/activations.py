"""Activation maps of one image: what the convolutions of a model make of it."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from harness.hooks import on_output


__all__ = ["ActivationMaps"]

_LAYERS = 6
"""Convolutions whose maps are kept, spread evenly over the model, the first and the last among them."""
_CHANNELS = 6
_SIDE = 32
"""Largest height and width in pixels; larger maps are averaged down."""


class ActivationMaps:
    """Takes the maps of the first image of a forward pass that happens anyway; nothing is computed twice.

    `maps` holds float64 tensors of shape (channels, height, width) by name: "input", the image as the first
    convolution gets it, if that is one, and the first channels of a few `nn.Conv2d`, in the order of their use. A
    compiled model shows none.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Tensor] = {}
        self._removers: list[Callable[[], None]] = []

    def follow(self, model: nn.Module) -> None:
        """Take the maps of the next forward pass of a model, in place of those of an earlier one."""
        self.release()
        self.maps = {}
        found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
        for name, module in _spread(found):
            self._follow(name, module)

    def release(self) -> None:
        """Remove the hooks from convolutions that no image has passed through."""
        for remove in self._removers:
            remove()
        self._removers.clear()

    def _follow(self, name: str, convolution: nn.Module) -> None:
        def take(inputs: tuple[Any, ...], output: Any) -> None:
            remove()
            if not self.maps and inputs and inputs[0].shape[-3] in (1, 3):
                self.maps["input"] = _first_image(inputs[0])
            self.maps[name] = _first_image(output)

        remove = on_output(convolution, take)
        self._removers.append(remove)


def _spread(convolutions: Sequence[Any]) -> Sequence[Any]:
    last = len(convolutions) - 1
    if last < _LAYERS:
        return convolutions
    return [convolutions[i * last // (_LAYERS - 1)] for i in range(_LAYERS)]


def _first_image(images: Tensor) -> Tensor:
    image_CHW = images.detach()[(0,) * (images.ndim - 3)][:_CHANNELS].cpu().double()
    height, width = image_CHW.shape[1:]
    return functional.adaptive_avg_pool2d(image_CHW, (min(height, _SIDE), min(width, _SIDE)))
