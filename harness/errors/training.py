"""Errors about what is trained: recipes, data, models, devices."""

from harness.errors.base import HarnessError


__all__ = [
    "DataCorruptError",
    "DataError",
    "DataForeignError",
    "DataMissingError",
    "DeviceError",
    "DevicePrecisionError",
    "FieldError",
    "ModelError",
    "ModelOutputError",
    "NoCifar10Error",
    "NoDeviceError",
    "NotAModelError",
    "RecipeError",
    "TooFewImagesError",
    "UnknownDeviceError",
]


class RecipeError(HarnessError):
    """A recipe that cannot be."""


class FieldError(RecipeError):
    """A recipe's field has a value outside its range."""

    what = "a recipe cannot have {field}={value!r}"
    where = "Recipe({field}=...)"
    fix = "{field} must be {rule}"


class DataError(HarnessError):
    """Images that are missing, broken or not what they claim to be."""


class NoCifar10Error(DataError):
    """No path to CIFAR-10 was given."""

    what = "this training needs CIFAR-10, and no path to it was given"
    fix = (
        "--cifar10=PATH, HARNESS_CIFAR10=PATH or the ini option cifar10: a folder in torchvision's layout or "
        "an .npz; --cifar10=download fetches it"
    )


class DataMissingError(DataError):
    """Nothing that could be CIFAR-10 stands at the path."""

    what = "there is no CIFAR-10 at {path}"
    where = "looked for {looked_for}"
    fix = "give the folder that holds cifar-10-batches-py, or an .npz file"


class DataCorruptError(DataError):
    """A data file is truncated, half downloaded, of another kind or holds impossible values."""

    what = "{path} cannot be used as CIFAR-10: {reason}"
    fix = "fetch the file again, or point --cifar10 to another copy"


class DataForeignError(DataError):
    """A data file holds images, but not CIFAR-10's."""

    what = "{path} holds images, but not those of CIFAR-10"
    where = "SHA-256 of the images and labels in use {found}, CIFAR-10 has {expected}"
    fix = "point --cifar10 to the official files, or to an .npz made from them in their order"


class TooFewImagesError(DataError):
    """A recipe asks for more images than the data set has."""

    what = "the recipe asks for {asked} {split} images, but {data} has {available}"
    where = "Recipe({split}_images={asked})"
    fix = "ask for at most {available}"


class ModelError(HarnessError):
    """A model that is unknown or misbehaves."""


class ModelOutputError(ModelError):
    """A model returned something else than one row of logits an image."""

    what = "step {step}: the model returned {found}, not logits of shape {expected}"
    where = "model {model}"
    fix = "return one row of {classes} logits an image"


class NotAModelError(ModelError):
    """A model function returned something that is no module."""

    what = "the model function returned {found}, not a torch.nn.Module"
    where = "model {model}"
    fix = "return the module itself"


class DeviceError(HarnessError):
    """A device that is unknown, absent or unable."""


class UnknownDeviceError(DeviceError):
    """A device of a kind that the harness does not know."""

    what = "there is no device {device!r}"
    fix = "use one of {known}"


class NoDeviceError(DeviceError):
    """A device that this machine lacks."""

    what = "this machine has no {device} device ({probe})"
    fix = "run on a machine that has one, or leave {device} out of --device and --require-device"


class DevicePrecisionError(DeviceError):
    """A device that cannot compute in a precision."""

    what = "{device} cannot compute in {precision}"
    fix = "use a recipe of another precision there, or another device"
