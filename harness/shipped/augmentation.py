"""From stored pixels to what a model sees: random crops and flips, then normalisation."""

import torch
from torch import Tensor
from torch.nn import functional


MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def crop_and_flip(images_NHWC: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Crop each image at random from itself framed in zeros, and mirror every second one, on average.

    Images are uint8 and stay so, on the CPU; padding is the width of the frame in pixels. The draws, in order: N rows,
    N columns, N flips, all integers, which are the same on every machine.
    """
    count, height, width, channels = images_NHWC.shape
    top_N11, left_N11 = torch.randint(2 * padding + 1, (2, count, 1, 1), generator=generator)
    flipped_N11 = torch.randint(2, (count, 1, 1), generator=generator).bool()
    rows_NH1 = top_N11 + torch.arange(height)[:, None]
    columns = torch.arange(width)
    columns_N1W = left_N11 + torch.where(flipped_N11, columns.flip(0), columns)
    # one index_select over all pixels of the batch takes a third of the time of indexing with three tensors
    padded_NHWC = functional.pad(images_NHWC, (0, 0, padding, padding, padding, padding))
    _, padded_height, padded_width, _ = padded_NHWC.shape
    images_N11 = torch.arange(count)[:, None, None]
    pixels_NHW = (images_N11 * padded_height + rows_NH1) * padded_width + columns_N1W
    return padded_NHWC.reshape(-1, channels).index_select(0, pixels_NHW.flatten()).view(images_NHWC.shape)


def normalise(images_NHWC: Tensor, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    """Return contiguous images_NCHW: (pixel / 255 - MEAN) / STD, each operation in `dtype`.

    MEAN and STD are those of CIFAR-10's 50,000 training images, a channel each, pixels in 0..1, rounded as in
    most CIFAR-10 code. Sources: STD from Stevens, Antiga and Viehmann, Deep Learning with PyTorch (2020),
    section 7.1.4; MEAN from
    https://richarddecal.com/data-science/use-these-normalization-values-for-torchvision-datasets.

    Images are uint8, red, green, blue, 0 to 255; their bytes are moved to the device first, as the smallest form.
    """
    # Divisors are tensors: by a number, CUDA multiplies with the reciprocal, which differs in the last bit.
    constants = torch.tensor([(255.0,) * 3, MEAN, STD], dtype=dtype, device=device)
    full_C11, mean_C11, std_C11 = constants[..., None, None]
    # permuting bytes moves an eighth of the memory that permuting float64 would
    bytes_NCHW = images_NHWC.to(device).permute(0, 3, 1, 2).contiguous()
    return bytes_NCHW.to(dtype).div_(full_C11).sub_(mean_C11).div_(std_C11)
