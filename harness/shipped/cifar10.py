"""Real CIFAR-10 from the official files, or from an .npz made of them.

"cifar10" means, whatever the source: the first 1,000 images of each of the five official training batches, in
order, and the first 1,000 official test images (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.errors import DataError
from harness.recipe import CLASSES
from harness.shipped.dataset import Dataset


DOWNLOAD = "download"
SHA256 = "a8b051787b09ef8dd56909b72a6994f3bae31f72caeea26cab06284d5c7d0fa8"
_BATCHES = 5  # official training batches
_IMAGES = 1000  # in use, of each batch and of the test images
_MOST_BYTES = 50_000 * 32 * 32 * 3 + 4096  # all training images, and the array's header

Bytes = NDArray[np.uint8]
Part = tuple[Bytes, Bytes]  # images and labels of one official batch


def load(path: str | Path) -> Dataset:
    """Return "cifar10": 5,000 training and 1,000 test images, 32x32 RGB; the last two paths stay in memory.

    Args:
        path: A folder in torchvision's layout: `cifar-10-batches-py`, or the folder that holds it. Or an .npz
            with train_images, train_labels, test_images and test_labels: uint8, images NHWC; the training
            images are five equal parts, each the beginning of an official batch. Or "download": torchvision
            fetches the files into ~/.cache/harness unless they are there (to mean a folder: "./download").

    Raises:
        DataError: Nothing is at the path, or a file of the folder is missing.
        DataError: A file is damaged or not of the form above, or the download failed.
        DataError: All is well formed, but these are other images or labels.
    """
    if path == DOWNLOAD:
        return _load(_downloaded())
    with _blaming(path, "it cannot be looked up"):
        found = Path(path).expanduser().resolve()
        if not found.exists():
            raise DataError.missing(path=found, looked_for="a folder or an .npz file")
    return _load(found)


@lru_cache(maxsize=2)
def _load(path: Path) -> Dataset:
    parts = _folder_parts(path) if path.is_dir() else _npz_parts(path)
    dataset = Dataset("cifar10", *_joined(parts[:_BATCHES]), *_joined(parts[_BATCHES:]))
    if dataset.sha256 != SHA256:
        raise DataError.foreign(path=path, found=dataset.sha256, expected=SHA256)
    return dataset


def _joined(parts: list[Part]) -> tuple[torch.Tensor, torch.Tensor]:
    """One tensor of images and one of labels; copies, so that the files' arrays can be freed."""
    images_NHWC = torch.from_numpy(np.concatenate([images for images, _ in parts]))
    labels_N = torch.from_numpy(np.concatenate([labels for _, labels in parts]).astype(np.int64))
    return images_NHWC, labels_N


@contextmanager
def _blaming(path: str | Path, failure: str) -> Iterator[None]:
    """Blame the file for whatever a library raises while it reads foreign bytes."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = f"{failure} ({type(error).__name__}: {error})"
        raise DataError.corrupt(path=path, reason=reason) from error


# --- torchvision's folder; numpy 2.4.0 to 2.4.4 warns of the age of the official files (pytorch/vision#9340)


@lru_cache(maxsize=1)
def _downloaded() -> Path:
    """The folder that torchvision has filled; nothing is fetched when the files are there and whole."""
    from torchvision.datasets import CIFAR10

    folder = Path.home() / ".cache" / "harness"
    with _blaming(folder, "the download failed"), warnings.catch_warnings(action="ignore"):
        # train=False, because torchvision fetches all files anyhow and then loads only the small split
        CIFAR10(folder, train=False, download=True)
    return folder


def _folder_parts(path: Path) -> list[Part]:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    folder = path if any(path.glob("data_batch_*")) else path / CIFAR10.base_folder
    entries = [*CIFAR10.train_list, *CIFAR10.test_list]
    for name, md5 in [*entries, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]:
        file = folder / name
        with _blaming(file, "it cannot be read"):  # torchvision would not name the file
            if not file.exists():
                raise DataError.missing(path=path, looked_for=file)
            _require(check_integrity(file, md5), file, f"it is incomplete or changed, its MD5 is not {md5}")
    return [_batch(folder, entry) for entry in entries]


def _batch(folder: Path, entry: list[str]) -> Part:
    """The images in use of one batch file; loading the files one by one keeps the peak at one file's size."""
    from torchvision.datasets import CIFAR10

    lists = {"base_folder": folder.name, "train_list": [entry], "test_list": []}
    with _blaming(folder / entry[0], "it cannot be read"), warnings.catch_warnings(action="ignore"):
        batch = type("Batch", (CIFAR10,), lists)(folder.parent)
        return batch.data[:_IMAGES].copy(), np.array(batch.targets[:_IMAGES], dtype=np.uint8)


# --- .npz


def _npz_parts(path: Path) -> list[Part]:
    with _blaming(path, "it cannot be read"):
        _require(zipfile.is_zipfile(path), path, "it is no .npz file, or only the beginning of one")
        with np.load(path, allow_pickle=False) as archive:
            return [*_split_parts(path, archive, "train", _BATCHES), *_split_parts(path, archive, "test", 1)]


def _split_parts(path: Path, archive: Any, split: str, batches: int) -> list[Part]:
    """The images in use of each of a split's equal parts."""
    images_NHWC = _array(path, archive, f"{split}_images", (32, 32, 3))
    labels_N = _array(path, archive, f"{split}_labels", ())
    count, labels = len(images_NHWC), len(labels_N)
    fits = count % batches == 0 and count >= batches * _IMAGES
    _require(count == labels, path, f"it holds {count} {split}_images, but {labels} {split}_labels")
    _require(fits, path, f"its {count} {split}_images are not {batches} x N, N at least {_IMAGES}")
    largest = labels_N.max()
    _require(largest < CLASSES, path, f"{split}_labels holds {largest}, and the classes are 0 to {CLASSES - 1}")
    parts = [slice(first, first + _IMAGES) for first in range(0, count, count // batches)]
    return [(images_NHWC[part].copy(), labels_N[part].copy()) for part in parts]


def _array(path: Path, archive: Any, key: str, shape: tuple[int, ...]) -> Bytes:
    """One array of the archive, uint8 and of shape (N, *shape)."""
    _require(key in archive, path, f"it holds no {key}")
    sizes = [member.file_size for member in archive.zip.infolist() if member.filename.startswith(key)]
    _require(max(sizes) <= _MOST_BYTES, path, f"{key} is larger than all of CIFAR-10")  # before it is unpacked
    with _blaming(path, f"{key} cannot be read"):
        array: Bytes = np.asarray(archive[key])  # a member that is no array comes as bytes
    _require(array.dtype == np.uint8, path, f"{key} is {array.dtype}, not uint8")
    expected = ", ".join(["N", *map(str, shape)])
    fits = array.ndim > 0 and array.shape[1:] == shape
    _require(fits, path, f"{key} has shape {array.shape}, not ({expected})")
    return array


def _require(holds: bool, path: Path, reason: str) -> None:
    if not holds:
        raise DataError.corrupt(path=path, reason=reason)
