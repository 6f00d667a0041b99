"""Small pictures for a record: images that went in, what was made of them, filters and activation maps."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.record.pictures import NO_MISTAKE, PICTURE_IMAGES, PICTURE_SIDE, Picture
from harness.recording.fingerprints import tensors_in
from harness.recording.hooks import Watch, on_output
from harness.recording.parts import held, is_distributed, whole


_MISTAKES = 3  # most confident ones, that are kept
_FILTERS = 64
_FILTER_PIXELS = 4096  # of all filters together: what a record can afford
_MOST_CLASSES = 100  # of a confusion matrix that is kept
_LEVELS = 32  # greys of an activation map: as many as one tells apart, and a record half as large as with 256
_LAYERS = 6  # convolutions whose maps are kept, spread evenly over the model, the first and the last among them
_CHANNELS = 6  # of each
_SIDE = 32  # largest height and width of a map in pixels; larger ones are averaged down


def picture(images: object, labels: Sequence[int] = (), predicted: Sequence[int] = ()) -> Picture | str:
    """Return the first images of a batch as uint8 pixels, or why they cannot be drawn.

    Images have 1 or 3 channels, first or last. Numbers that are not uint8 are stretched to 0 to 255, and the limits say
    from where. Images that are larger than a record keeps are averaged down, in whole numbers: the same on every
    machine.
    """
    images_NHWC = _images_in(images)
    if isinstance(images_NHWC, str):
        return images_NHWC
    first_NHWC = images_NHWC[:PICTURE_IMAGES].detach().cpu()
    if not first_NHWC.isfinite().all():
        return "there is NaN or infinity in the images"
    stretched_NHWC, limits = _stretched(first_NHWC)
    pixels_NHWC = _shrunk(stretched_NHWC).expand(-1, -1, -1, 3)
    count, height, width, _ = pixels_NHWC.shape
    data = pixels_NHWC.clone(memory_format=torch.contiguous_format).numpy().tobytes()  # NumPy would keep the loop's own
    true, found = (
        tuple(classes[:count]) if len(classes) == len(images_NHWC) else () for classes in (labels, predicted)
    )
    return Picture(data, (count, height, width), true, found, limits=limits)


def _images_in(batch: object) -> Tensor | str:
    """Return the first tensor of a batch that holds images, of shape (N, H, W, 1 or 3), or why there is none."""
    tensors = list(map(held, tensors_in(batch)))
    if isinstance(batch, list | tuple) and {tensor.ndim for tensor in tensors} == {3}:  # an image each
        if len({tensor.shape for tensor in tensors}) > 1:
            return "the images differ in size"
        tensors = [torch.stack(tensors)]
    shapes = " and ".join(dict.fromkeys(str(tuple(tensor.shape)) for tensor in tensors if not tensor.is_nested))
    none = f"what went in, of shape {shapes}, is no image of 1 or 3 channels" if shapes else "there is no tensor in it"
    return next((images for images in map(_channels_last, tensors) if images is not None), none)


def _channels_last(tensor: Tensor) -> Tensor | None:
    """Return images with their channels last, or None if a tensor holds none; if both may be, uint8 has them so."""
    if tensor.is_nested or tensor.layout is not torch.strided or tensor.is_complex() or not tensor.numel():
        return None
    pixels = tensor.dtype == torch.uint8
    images = tensor[..., None] if pixels and tensor.ndim == 3 else tensor  # grey, as data sets store it
    if images.ndim != 4 or not {images.shape[1], images.shape[3]} & {1, 3}:
        return None
    last = images.shape[3] in (1, 3) and (pixels or images.shape[1] not in (1, 3))
    return images if last else images.permute(0, 2, 3, 1)


def _stretched(images: Tensor) -> tuple[Tensor, tuple[float, float] | None]:
    """Return images as uint8: of other numbers, the smallest is 0 and the largest 255; and these two, if they part."""
    if images.dtype == torch.uint8:
        return images, None
    images = images if images.dtype == torch.float32 else images.double()
    low, high = images.aminmax()
    limits = (float(low), float(high)) if low < high else None
    return ((images - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8), limits


def _shrunk(pixels_NHWC: Tensor) -> Tensor:
    """Return images of at most `PICTURE_SIDE` pixels a side, each pixel the mean of the area that it stands for.

    Sums of whole numbers below 2**53 are exact in float64, in whatever order they are added.
    """
    sides = pixels_NHWC.shape[1:3]
    if max(sides) <= PICTURE_SIDE:
        return pixels_NHWC
    shares = [_shares(side, max(1, side * PICTURE_SIDE // max(sides))) for side in sides]
    sums_NHWC = torch.einsum("ah,nhwc,bw->nabc", shares[0], pixels_NHWC.double(), shares[1])
    return ((sums_NHWC + math.prod(sides) // 2) // math.prod(sides)).to(torch.uint8)


def _shares(side: int, fewer: int) -> Tensor:
    """Return how much of each of `side` pixels (column) is in each of fewer (row), in parts that add up to `side`."""
    pixel, cell = torch.arange(side) * fewer, torch.arange(fewer)[:, None] * side
    return (torch.minimum(pixel + fewer, cell + side) - torch.maximum(pixel, cell)).clamp(min=0).double()


def mistakes(images: object, true: Sequence[int], found: Sequence[int], confidence: Sequence[float]) -> Picture | str:
    """Return the wrongly classified images of highest confidence, the surest first, or why there is none to draw."""
    wrong = [i for i, sure in enumerate(confidence) if true[i] != found[i] and math.isfinite(sure)]
    surest = sorted(wrong, key=lambda i: -confidence[i])[:_MISTAKES]
    tensor = _images_in(images)
    if not confidence:
        return "no confidence was given"
    if not surest:
        return NO_MISTAKE
    if isinstance(tensor, str):
        return tensor
    kept = picture(tensor[surest], [true[i] for i in surest], [found[i] for i in surest])
    return kept if isinstance(kept, str) else dataclasses.replace(kept, confidence=tuple(confidence[i] for i in surest))


def confusion(true: Sequence[int], found: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return how many images of each class (row) were given each class (column); empty for labels beyond 0 to 99."""
    classes = 1 + max([*true, *found], default=-1)
    if classes > _MOST_CLASSES or min([*true, *found], default=0) < 0:
        return ()
    pairs = Counter(zip(true, found, strict=True))
    return tuple(tuple(pairs[row, column] for column in range(classes)) for row in range(classes))


@torch.no_grad()
def filter_picture(parameters: Iterable[Tensor]) -> Picture | None:
    """Return the filters of the first layer that sees images, the first (N, 3 or 1, H, W) weight; zero is mid-grey."""
    known = (weight for parameter in parameters if (weight := whole(parameter)) is not None)
    weights = (p for p in known if p.ndim == 4 and p.shape[1] in (1, 3) and p.is_floating_point())
    first = next(weights, None)
    if first is None or not 0 < max(first.shape[2:]) <= PICTURE_SIDE or first.numel() == 0:
        return None
    count = min(_FILTERS, max(1, _FILTER_PIXELS // (first.shape[2] * first.shape[3])))
    weights_NCHW = first[:count].detach().cpu().double()
    largest = float(weights_NCHW.abs().max())
    return _scaled(weights_NCHW, -largest, largest, 256)


def activation_pictures(maps: Mapping[str, Tensor]) -> dict[str, Picture]:
    """Return `ActivationMaps.maps` as grey pictures, each from its smallest to its largest number."""
    pictures = {}
    for name, maps_CHW in maps.items():
        images_NCHW, levels = (maps_CHW[None], 256) if name == "input" else (maps_CHW[:, None], _LEVELS)
        low, high = map(float, maps_CHW.aminmax())
        if kept := _scaled(images_NCHW, low, high, levels):
            pictures[f"activation/{name}"] = kept
    return pictures


def _scaled(images_NCHW: Tensor, low: float, high: float, levels: int) -> Picture | None:
    """Return images of 3 or 1 channels with `low` black and `high` white; None if there is nothing to see."""
    if not 0 < high - low < math.inf:
        return None
    shades_NCHW = ((images_NCHW - low) / (high - low) * (levels - 1)).round() / (levels - 1)
    pixels_NCHW = (shades_NCHW * 255).round().to(torch.uint8)
    count, _, height, width = pixels_NCHW.shape
    pixels = pixels_NCHW.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    return Picture(pixels, (count, height, width), limits=(low, high))


def class_labels(labels: object) -> list[int]:
    """Return a batch's labels if they are one integer an image, an empty list otherwise."""
    if isinstance(labels, list | tuple) and all(isinstance(label, int) for label in labels):
        return [int(label) for label in labels]
    tensors = [*map(held, tensors_in(labels))] or [torch.tensor(0)]
    if isinstance(labels, list | tuple) and not any(tensor.ndim or tensor.is_floating_point() for tensor in tensors):
        tensors = [torch.stack([tensor.long() for tensor in tensors])]  # one tensor, or number of NumPy's, an image
    dense = tensors[0].ndim == 1 and tensors[0].layout is torch.strided
    return tensors[0].long().tolist() if dense and not tensors[0].is_floating_point() else []


class ActivationMaps:
    """Takes the maps of the first image of a forward pass that happens anyway; nothing is computed twice.

    `maps` holds float64 tensors of shape (channels, height, width) by name: "input", the image as the first
    convolution gets it, if that is one, and the first channels of a few `nn.Conv2d`, in the order of their use. A
    compiled model shows none.

    Args:
        watch: makes a context for what a pass calls.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.maps: dict[str, Tensor] = {}
        self._removers: list[Callable[[], None]] = []

    def follow(self, model: nn.Module) -> None:
        """Take the maps of the next forward pass of a model, in place of those of an earlier one."""
        self.release()
        self.maps = {}
        found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
        last = len(found) - 1
        for i in range(min(len(found), _LAYERS)):
            self._follow(*found[i if last < _LAYERS else i * last // (_LAYERS - 1)])

    def release(self) -> None:
        """Remove the hooks from convolutions that no image has passed through."""
        for remove in self._removers:
            remove()
        self._removers.clear()

    def _follow(self, name: str, convolution: nn.Module) -> None:
        def take(inputs: tuple[Any, ...], output: Any) -> None:
            with self._watch():
                remove()
                if _has_image(output):
                    if not self.maps and inputs and _has_image(inputs[0]) and inputs[0].shape[-3] in (1, 3):
                        self.maps["input"] = _first_image(inputs[0])
                    self.maps[name] = _first_image(output)

        remove = on_output(convolution, take)
        self._removers.append(remove)


def _has_image(images: object) -> bool:
    """Tell whether what a convolution got or gave is some images: it may be none, a tuple, or vmap's stand-in."""
    if not isinstance(images, Tensor) or torch._C._functorch.is_functorch_wrapped_tensor(images):
        return False
    return not is_distributed(images) and images.ndim >= 3 and images.numel() > 0


def _first_image(images: Tensor) -> Tensor:
    image_CHW = images.detach()[(0,) * (images.ndim - 3)][:_CHANNELS].cpu().double()
    height, width = image_CHW.shape[1:]
    return functional.adaptive_avg_pool2d(image_CHW, (min(height, _SIDE), min(width, _SIDE)))
