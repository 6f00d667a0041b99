"""What a training reads: images and labels with a fingerprint, by the name of their data set."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split in training and test; two sets of equal images are equal in `sha256`, not `==`.

    Images are uint8, 0 to 255, contiguous, height and width in pixels, channels red, green, blue; labels are int64, the
    class of each image.
    """

    name: str  # what the set is called in recipes and baselines
    train_images_NHWC: Tensor
    train_labels_N: Tensor
    test_images_NHWC: Tensor
    test_labels_N: Tensor

    def first(self, train: int, test: int) -> "Dataset":
        """Return the first `train` training and the first `test` test images, as views of the same memory."""
        for split, asked, labels_N in (("train", train, self.train_labels_N), ("test", test, self.test_labels_N)):
            if asked > len(labels_N):
                raise DataError.too_few(split=split, asked=asked, available=len(labels_N), data=self.name)
        return Dataset(
            self.name, *(part[:train] for part in self._parts[:2]), *(part[:test] for part in self._parts[2:])
        )

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.train_images_NHWC, self.train_labels_N, self.test_images_NHWC, self.test_labels_N

    @property
    def sha256(self) -> str:
        """Hex digest over shape and bytes of training images, training labels, test images, test labels.

        Labels are hashed as uint8, so that the digest is that of the files' bytes on every machine.
        """
        digest = hashlib.sha256()
        for tensor in self._parts:
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.to(torch.uint8).contiguous().numpy().data)
        return digest.hexdigest()
