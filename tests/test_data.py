"""The data sets, the order of their images, and what is done to them before a model sees them."""

import hashlib
import os
import pickle
import shutil
import urllib.error
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import (
    ArgumentError,
    DataError,
    NoCifar10Error,
)
from harness.recipe import CLASSES
from harness.shipped import cifar10, synthetic
from harness.shipped.augmentation import MEAN, STD, crop_and_flip, normalise
from harness.shipped.batches import batches
from harness.shipped.dataset import Dataset
from harness.shipped.load import CIFAR10_VARIABLE, load_dataset


FIELDS = ("train_images_NHWC", "train_labels_N", "test_images_NHWC", "test_labels_N")

seeds = st.integers(0, 2**32 - 1)


def seeded(seed):
    """A CPU generator."""
    return torch.Generator().manual_seed(seed)


# --- the sets by name


def test_an_unknown_data_set_is_refused():
    """A name that is no data set ends in the words of a bad argument."""
    with pytest.raises(ArgumentError) as caught:
        load_dataset("mnist")
    assert str(caught.value).splitlines() == [
        "name cannot be 'mnist'",
        "  where  load_dataset(name=...)",
        "  fix    name must be 'synthetic' or 'cifar10'",
    ]


def test_cifar10_needs_a_path(monkeypatch):
    """Without argument and environment variable the error says how to give the path."""
    monkeypatch.delenv(CIFAR10_VARIABLE, raising=False)
    with pytest.raises(NoCifar10Error) as caught:
        load_dataset("cifar10")
    assert str(caught.value).splitlines() == [
        "this training needs CIFAR-10, and no path to it was given",
        "  fix    train(recipe, cifar10=PATH) or HARNESS_CIFAR10=PATH: a folder in torchvision's layout or an .npz; "
        "the word download fetches it",
    ]


def test_first_takes_the_first_images():
    """`first` keeps name, order and labels, and shares the memory."""
    dataset = load_dataset("synthetic")
    few = dataset.first(train=30, test=20)
    assert few.name == "synthetic"
    assert torch.equal(few.train_images_NHWC, dataset.train_images_NHWC[:30])
    assert torch.equal(few.train_labels_N, dataset.train_labels_N[:30])
    assert torch.equal(few.test_images_NHWC, dataset.test_images_NHWC[:20])
    assert torch.equal(few.test_labels_N, dataset.test_labels_N[:20])
    assert few.train_images_NHWC.data_ptr() == dataset.train_images_NHWC.data_ptr()


@pytest.mark.parametrize(
    ("train", "test", "split", "asked", "available"),
    [(2001, 1, "train", 2001, 2000), (1, 501, "test", 501, 500)],
)
def test_too_few_images(train, test, split, asked, available):
    """Asking for more images than there are names both numbers."""
    with pytest.raises(DataError) as caught:
        load_dataset("synthetic").first(train, test)
    assert str(caught.value).splitlines() == [
        f"the recipe asks for {asked} {split} images, but synthetic has {available}",
        f"  where  Recipe({split}_images={asked})",
        f"  fix    ask for at most {available}",
    ]


@pytest.mark.parametrize("field", FIELDS)
def test_the_fingerprint_sees_every_tensor(field):
    """One changed element in any of the four tensors changes the digest."""
    tensors = {
        "train_images_NHWC": torch.zeros(2, 4, 4, 3, dtype=torch.uint8),
        "train_labels_N": torch.zeros(2, dtype=torch.int64),
        "test_images_NHWC": torch.zeros(1, 4, 4, 3, dtype=torch.uint8),
        "test_labels_N": torch.zeros(1, dtype=torch.int64),
    }
    changed = tensors[field].clone()
    changed.view(-1)[-1] = 1
    assert Dataset("a", **tensors).sha256 == Dataset("b", **tensors).sha256
    assert Dataset("a", **{**tensors, field: changed}).sha256 != Dataset("a", **tensors).sha256


def test_the_fingerprint_sees_shapes():
    """The same bytes in another shape have another digest."""
    flat = Dataset("a", torch.zeros(1, 2, 8, 3).byte(), torch.zeros(1), torch.zeros(0), torch.zeros(0))
    tall = Dataset("a", torch.zeros(1, 8, 2, 3).byte(), torch.zeros(1), torch.zeros(0), torch.zeros(0))
    assert flat.sha256 != tall.sha256


# --- the embedded set


def test_the_synthetic_set_is_pinned():
    """The drawn bytes are the same on every machine and numpy version."""
    assert synthetic.load().sha256 == synthetic.SHA256


def test_the_synthetic_set_has_the_promised_form():
    """2,000 and 500 images of 32x32 RGB bytes, ten classes of equal size."""
    dataset = load_dataset("synthetic")
    assert dataset.train_images_NHWC.shape == (2000, 32, 32, 3)
    assert dataset.test_images_NHWC.shape == (500, 32, 32, 3)
    assert dataset.train_images_NHWC.dtype == dataset.test_images_NHWC.dtype == torch.uint8
    assert dataset.train_labels_N.dtype == dataset.test_labels_N.dtype == torch.int64
    assert dataset.train_labels_N.bincount().tolist() == [200] * CLASSES
    assert dataset.test_labels_N.bincount().tolist() == [50] * CLASSES


def test_no_image_appears_twice():
    """Training and test images are all different, so that no test image was trained on."""
    dataset = load_dataset("synthetic")
    images_NP = torch.cat([dataset.train_images_NHWC, dataset.test_images_NHWC]).flatten(1)
    assert len(images_NP.unique(dim=0)) == 2500


@pytest.fixture
def one_thread():
    """One torch thread, as in a training; the old number afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def accuracy_after_48_steps(model, learning_rate):
    """Train by SGD in batches of 64; return the share of test images that are right."""
    dataset = load_dataset("synthetic")
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    order = seeded(1)
    steps = [indices_N for _ in range(2) for indices_N in batches(2000, 64, order)][:48]
    for indices_N in steps:
        optimizer.zero_grad()
        logits_NK = model(normalise(dataset.train_images_NHWC[indices_N], torch.float64))
        torch.nn.functional.cross_entropy(logits_NK, dataset.train_labels_N[indices_N]).backward()
        optimizer.step()
    with torch.no_grad():
        predicted_N = model(normalise(dataset.test_images_NHWC, torch.float64)).argmax(1)
    return (predicted_N == dataset.test_labels_N).double().mean().item()


@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
def test_a_cnn_learns_what_a_linear_model_cannot():
    """After 48 steps a small CNN is far above chance and not done; a linear model has less than half."""
    layers = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
            layers += [torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        cnn = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(1024, 10)).double()
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10)).double()
    cnn_accuracy = accuracy_after_48_steps(cnn, learning_rate=0.05)
    linear_accuracy = accuracy_after_48_steps(linear, learning_rate=0.01)
    assert 0.35 < cnn_accuracy < 0.75
    assert linear_accuracy < cnn_accuracy / 2


# --- CIFAR-10, with stand-ins for its files: pictures of 1,001 images a batch, of which 1,000 count

PER_BATCH = 1001


@pytest.fixture(scope="module")
def arrays():
    """The arrays of a stand-in .npz: few random pixels and many zeros, which compress well."""
    random = np.random.default_rng(0)

    def images(count):
        images_NHWC = np.zeros((count, 32, 32, 3), dtype=np.uint8)
        images_NHWC[:, 10:14, 10:12] = random.integers(0, 256, (count, 4, 2, 3), dtype=np.uint8)
        return images_NHWC

    return {
        "train_images": images(5 * PER_BATCH),
        "train_labels": random.integers(0, 10, 5 * PER_BATCH, dtype=np.uint8),
        "test_images": images(PER_BATCH),
        "test_labels": random.integers(0, 10, PER_BATCH, dtype=np.uint8),
    }


@pytest.fixture(scope="module")
def npz(arrays, tmp_path_factory):
    """The stand-in as an .npz."""
    path = tmp_path_factory.mktemp("npz") / "cifar10.npz"
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def expected(arrays, monkeypatch):
    """What the stand-in files hold as "cifar10"; the pinned fingerprint is set to theirs."""
    kept_N = np.arange(5 * PER_BATCH) % PER_BATCH < 1000
    dataset = Dataset(
        "cifar10",
        torch.from_numpy(arrays["train_images"][kept_N]),
        torch.from_numpy(arrays["train_labels"][kept_N]).long(),
        torch.from_numpy(arrays["test_images"][:1000]),
        torch.from_numpy(arrays["test_labels"][:1000]).long(),
    )
    monkeypatch.setattr(cifar10, "SHA256", dataset.sha256)
    yield dataset
    cifar10._load.cache_clear()  # nothing read under this fingerprint outlives it


class OldDtype:
    """Unpickles with a warning, as the dtypes of the official files do under numpy 2.4.0 to 2.4.4."""

    def __reduce__(self):
        """Call warnings.warn when unpickled."""
        return warnings.warn, ("dtype(): align should be passed as Python or NumPy boolean", UserWarning)


@pytest.fixture(scope="module")
def batch_files(arrays, tmp_path_factory):
    """The stand-in in torchvision's layout."""
    folder = tmp_path_factory.mktemp("files") / "cifar-10-batches-py"
    folder.mkdir()
    images_NX = arrays["train_images"].transpose(0, 3, 1, 2).reshape(-1, 3072)
    contents = {
        f"data_batch_{number + 1}": (images_NX[part], arrays["train_labels"][part])
        for number, part in enumerate(slice(k * PER_BATCH, (k + 1) * PER_BATCH) for k in range(5))
    }
    test_images_NX = arrays["test_images"].transpose(0, 3, 1, 2).reshape(-1, 3072)
    contents["test_batch"] = (test_images_NX, arrays["test_labels"])
    for name, (pixels_NX, labels_N) in contents.items():
        batch = {"data": pixels_NX, "labels": labels_N.tolist(), "dtype": OldDtype()}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [*"abcdefghij"]}))
    return folder


def md5(file):
    """The MD5 of a file, as torchvision lists it."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def folder(batch_files, tmp_path, monkeypatch):
    """A copy of the files to spoil, whose checksums torchvision takes for the official ones."""
    from torchvision.datasets import CIFAR10

    sums = {file.name: md5(file) for file in batch_files.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return Path(shutil.copytree(batch_files, tmp_path / "cifar-10-batches-py", copy_function=os.link))


def respell(file, content):
    """Replace a file's content without touching what else is linked to it."""
    file.unlink()
    file.write_bytes(content)


def same(found, expected):
    """Whether two data sets are equal, element for element and dtype for dtype."""
    pairs = [(getattr(found, field), getattr(expected, field)) for field in FIELDS]
    return found.name == expected.name and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def complaint(error, path):
    """Load the path, which must fail with this error; return the lines of its message."""
    with pytest.raises(error) as caught:
        cifar10.load(path)
    return str(caught.value).splitlines()


def corrupt(path, reason):
    """The lines of a DataCorruptError."""
    fix = "  fix    fetch the file again, or name another copy"
    return [f"{path} cannot be used as CIFAR-10: {reason}", fix]


def test_an_npz_gives_the_first_thousand_of_each_part(npz, expected):
    """Of five equal parts and the test images, the first 1,000 each are "cifar10"."""
    assert same(cifar10.load(npz), expected)


@pytest.mark.parametrize("inner", [False, True], ids=["root", "folder_itself"])
def test_a_torchvision_folder_gives_the_same(folder, expected, inner):
    """The official layout gives the same set as the .npz, from the root and from the folder in it."""
    assert same(cifar10.load(folder if inner else folder.parent), expected)


def test_the_folder_may_have_another_name(folder, expected):
    """The batch files are found in a folder of any name."""
    assert same(cifar10.load(folder.rename(folder.with_name("renamed"))), expected)


@pytest.mark.usefixtures("expected")
def test_a_set_is_read_once(npz, monkeypatch):
    """The same path, spelt in another way or taken from the environment, gives the same object."""
    dataset = load_dataset("cifar10", npz)
    detour = npz.parent / ".." / npz.parent.name / npz.name
    monkeypatch.setenv(CIFAR10_VARIABLE, str(npz))
    assert load_dataset("cifar10", str(detour)) is dataset
    assert load_dataset("cifar10") is dataset
    assert load_dataset("synthetic") is load_dataset("synthetic")


def test_nothing_at_the_path(tmp_path):
    """A path that leads nowhere is named, and so is what was looked for."""
    path = tmp_path / "gone.npz"
    assert complaint(DataError, path) == [
        f"there is no CIFAR-10 at {path}",
        "  where  looked for a folder or an .npz file",
        "  fix    give the folder that holds cifar-10-batches-py, or an .npz file",
    ]


def test_a_path_that_cannot_be_a_path():
    """A path that the system refuses to look up ends in a named error too."""
    assert complaint(DataError, "a\0b") == corrupt("a\\x00b", "it cannot be looked up (ValueError: embedded null byte)")


def test_a_folder_without_batches(tmp_path):
    """A folder of something else is told which file was looked for."""
    assert complaint(DataError, tmp_path) == [
        f"there is no CIFAR-10 at {tmp_path}",
        f"  where  looked for {tmp_path / 'cifar-10-batches-py' / 'data_batch_1'}",
        "  fix    give the folder that holds cifar-10-batches-py, or an .npz file",
    ]


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_4", "test_batch", "batches.meta"])
def test_a_missing_batch_file_is_named(folder, name):
    """A folder that lacks one file says which."""
    (folder / name).unlink()
    assert complaint(DataError, folder.parent)[1] == f"  where  looked for {folder / name}"


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_truncated_batch_file_is_named(folder, name):
    """A half-downloaded file is named, with the checksum that it should have."""
    whole = md5(folder / name)
    respell(folder / name, (folder / name).read_bytes()[:-20])
    reason = f"it is incomplete or changed, its MD5 is not {whole}"
    assert complaint(DataError, folder.parent) == corrupt(folder / name, reason)


def test_a_batch_file_that_is_a_folder(folder):
    """A folder where a file should be is named as what is wrong."""
    (folder / "data_batch_2").unlink()
    (folder / "data_batch_2").mkdir()
    first_line = complaint(DataError, folder)[0]
    assert first_line.startswith(f"{folder / 'data_batch_2'} cannot be used as CIFAR-10: it is incomplete")


@pytest.mark.parametrize(
    "content", [b"", b"to be fetched by git lfs", b"PK\x03\x04"], ids=["empty", "text", "only_a_beginning"]
)
def test_a_file_that_is_no_npz(tmp_path, content):
    """Text renamed .npz, an empty file and a stump are refused without numpy's words about pickle."""
    path = tmp_path / "cifar10.npz"
    path.write_bytes(content)
    reason = "it is no .npz file, or only the beginning of one"
    assert complaint(DataError, path) == corrupt(path, reason)


def test_a_truncated_npz(npz, tmp_path):
    """An .npz whose download broke off is refused."""
    path = tmp_path / "cifar10.npz"
    path.write_bytes(npz.read_bytes()[:-100])
    reason = "it is no .npz file, or only the beginning of one"
    assert complaint(DataError, path) == corrupt(path, reason)


def test_a_damaged_npz(arrays, tmp_path):
    """One flipped byte within an array is found and the array named."""
    path = tmp_path / "cifar10.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    reason = "train_images cannot be read (BadZipFile: Bad CRC-32 for file 'train_images.npy')"
    assert complaint(DataError, path) == corrupt(path, reason)


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("train_labels", None, "it holds no train_labels"),
        ("test_images", lambda a: a.astype(np.float32), "test_images is float32, not uint8"),
        ("train_labels", lambda a: a.astype(np.int64), "train_labels is int64, not uint8"),
        (
            "train_images",
            lambda a: a.transpose(0, 3, 1, 2),
            "train_images has shape (5005, 3, 32, 32), not (N, 32, 32, 3)",
        ),
        ("test_labels", lambda a: a[:, None], "test_labels has shape (1001, 1), not (N)"),
        ("test_labels", lambda a: a[0], "test_labels has shape (), not (N)"),
        ("test_labels", lambda a: a * 0 + 10, "test_labels holds 10, and the classes are 0 to 9"),
        ("train_labels", lambda a: a[:-5], "it holds 5005 train_images, but 5000 train_labels"),
        (
            "train_images",
            lambda a: a.astype(object)[:1],
            "train_images cannot be read (ValueError: Object arrays cannot be loaded when allow_pickle=False)",
        ),
    ],
    ids=["missing", "floats", "int64", "nchw", "columns", "scalar", "class_10", "count", "objects"],
)
def test_an_npz_of_another_form(arrays, tmp_path, key, change, reason):
    """Each way in which an array can be wrong is told by name, with what was found."""
    path = tmp_path / "cifar10.npz"
    changed = {name: array for name, array in arrays.items() if name != key}
    if change:
        changed[key] = change(arrays[key])
    np.savez_compressed(path, **changed)
    assert complaint(DataError, path) == corrupt(path, reason)


@pytest.mark.parametrize("count", [5004, 4995, 0], ids=["unequal", "few", "none"])
def test_training_images_that_are_not_five_batches(arrays, tmp_path, count):
    """A number of training images that does not fall into five batches of 1,000 or more is refused."""
    path = tmp_path / "cifar10.npz"
    shorter = {key: array[:count] for key, array in arrays.items() if key.startswith("train")}
    np.savez_compressed(path, **{**arrays, **shorter})
    reason = f"its {count} train_images are not 5 x N, N at least 1000"
    assert complaint(DataError, path) == corrupt(path, reason)


def test_a_member_that_is_no_array(tmp_path):
    """A text file among the arrays is refused by name."""
    path = tmp_path / "cifar10.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_images.npy", "no array")
    assert complaint(DataError, path) == corrupt(path, "train_images is |S8, not uint8")


def test_other_images_are_foreign(npz):
    """Well-formed images that are not CIFAR-10's are refused, with both fingerprints."""
    lines = complaint(DataError, npz)
    found = lines[1].removeprefix("  where  SHA-256 of the images and labels in use ").partition(",")[0]
    assert len(found) == 64
    assert lines == [
        f"{npz} holds images, but not those of CIFAR-10",
        f"  where  SHA-256 of the images and labels in use {found}, CIFAR-10 has {cifar10.SHA256}",
        "  fix    name the official files, or an .npz made from them in their order",
    ]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder, and no memory of an earlier download."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    cifar10._downloaded.cache_clear()
    yield tmp_path
    cifar10._downloaded.cache_clear()


def test_download_goes_to_the_cache(home, folder, expected, monkeypatch):
    """The word "download" lets torchvision fill ~/.cache/harness, once a process."""
    from torchvision.datasets import CIFAR10

    roots = []

    def download(self):
        roots.append(Path(self.root))
        shutil.copytree(folder, Path(self.root) / self.base_folder)

    monkeypatch.setattr(CIFAR10, "download", download)
    assert same(load_dataset("cifar10", "download"), expected)
    assert load_dataset("cifar10", "download") is load_dataset("cifar10", home / ".cache" / "harness")
    assert roots == [home / ".cache" / "harness"]


def test_a_failed_download(home, monkeypatch):
    """A download that fails says so, with the network's reason."""
    from torchvision.datasets import CIFAR10

    def download(self):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", download)
    reason = "the download failed (URLError: <urlopen error no route to host>)"
    assert complaint(DataError, "download") == corrupt(home / ".cache" / "harness", reason)


@pytest.mark.skipif(not os.environ.get("HARNESS_CIFAR10"), reason="HARNESS_CIFAR10 names no copy of CIFAR-10")
def test_the_real_cifar10():
    """The real files give the pinned set, which begins with a frog and two trucks."""
    dataset = load_dataset("cifar10")
    assert dataset.sha256 == cifar10.SHA256
    assert (len(dataset.train_labels_N), len(dataset.test_labels_N)) == (5000, 1000)
    assert dataset.train_labels_N[:3].tolist() == [6, 9, 9]


# --- batches


@given(st.integers(1, 300), st.integers(1, 100), seeds)
def test_an_epoch_has_every_index_once(count, batch_size, seed):
    """Batches are full but for the last, and hold every index exactly once."""
    epoch = list(batches(count, batch_size, seeded(seed)))
    assert sorted(torch.cat(epoch).tolist()) == list(range(count))
    assert [len(indices_N) for indices_N in epoch[:-1]] == [batch_size] * (len(epoch) - 1)
    assert 1 <= len(epoch[-1]) <= batch_size


@given(st.integers(2, 300), seeds)
def test_one_seed_one_order(count, seed):
    """The same seed gives the same epochs, one after the other."""
    one, two = seeded(seed), seeded(seed)
    for _ in range(2):
        assert torch.equal(torch.cat([*batches(count, 7, one)]), torch.cat([*batches(count, 7, two)]))


def test_the_order_is_pinned():
    """The order of a seed never changes, or all baselines would."""
    generator = seeded(0)
    epochs = [[indices_N.tolist() for indices_N in batches(10, 4, generator)] for _ in range(2)]
    assert epochs[0] == [[4, 1, 7, 5], [3, 9, 0, 8], [6, 2]]
    assert epochs[1] == [[3, 9, 4, 2], [7, 8, 6, 0], [5, 1]]


def test_the_order_is_drawn_at_the_call():
    """Two epochs asked for in a row are drawn in that row, whichever is read first."""
    one, two = seeded(0), seeded(0)
    first, second = batches(50, 50, one), batches(50, 50, one)
    swapped = torch.cat([*second]), torch.cat([*first])
    assert torch.equal(swapped[1], torch.cat([*batches(50, 50, two)]))
    assert torch.equal(swapped[0], torch.cat([*batches(50, 50, two)]))


def test_the_global_generator_is_left_alone():
    """Neither order nor augmentation draws from torch's global generator."""
    before = torch.random.get_rng_state()
    list(batches(10, 3, seeded(0)))
    crop_and_flip(torch.zeros(4, 8, 8, 3, dtype=torch.uint8), seeded(0))
    assert torch.equal(torch.random.get_rng_state(), before)


# --- augmentation


@st.composite
def small_images(draw):
    """A few small images of random bytes."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.just(3)))
    return torch.randint(256, shape, generator=seeded(draw(seeds)), dtype=torch.uint8)


@given(small_images(), seeds, st.integers(0, 4))
def test_a_crop_is_a_window_of_the_padded_image(images_NHWC, seed, padding):
    """Each result is some window of its own image framed in zeros, mirrored or not; input stays as it was."""
    before = images_NHWC.clone()
    cropped_NHWC = crop_and_flip(images_NHWC, seeded(seed), padding)
    height, width = images_NHWC.shape[1:3]
    for image_HWC, cropped_HWC in zip(images_NHWC, cropped_NHWC, strict=True):
        padded_HWC = torch.zeros(height + 2 * padding, width + 2 * padding, 3, dtype=torch.uint8)
        padded_HWC[padding : padding + height, padding : padding + width] = image_HWC
        windows = [
            padded_HWC[top : top + height, left : left + width]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(torch.equal(cropped_HWC, w) or torch.equal(cropped_HWC, w.flip(1)) for w in windows)
    assert torch.equal(images_NHWC, before)
    assert cropped_NHWC.is_contiguous()


@given(small_images(), seeds)
def test_flipped_twice_is_the_image(images_NHWC, seed):
    """Without padding, the same draws applied twice give the image back."""
    once_NHWC = crop_and_flip(images_NHWC, seeded(seed), padding=0)
    assert torch.equal(crop_and_flip(once_NHWC, seeded(seed), padding=0), images_NHWC)


@given(small_images(), seeds)
def test_one_seed_one_augmentation(images_NHWC, seed):
    """The same seed gives the same crops and flips, also for images that are not contiguous."""
    strided_NHWC = images_NHWC.repeat_interleave(2, dim=2)[:, :, ::2]
    one, two = crop_and_flip(images_NHWC, seeded(seed)), crop_and_flip(strided_NHWC, seeded(seed))
    assert torch.equal(one, two)


def test_every_offset_and_flip_comes_up():
    """All 9 x 9 offsets occur about equally often, and half of the images are mirrored."""
    count, side = 8100, 12
    images_NHWC = torch.zeros(count, side, side, 3, dtype=torch.uint8)
    images_NHWC[:, 4, 4] = torch.tensor([1, 0, 0], dtype=torch.uint8)  # the left one of two marks, red
    images_NHWC[:, 4, 5] = torch.tensor([0, 1, 0], dtype=torch.uint8)  # the right one, green
    cropped_NHWC = crop_and_flip(images_NHWC, seeded(0))
    marks_NC = cropped_NHWC.flatten(1, 2).argmax(1)
    rows_N, columns_NC = marks_NC[:, 0] // side, marks_NC % side
    mirrored_N = columns_NC[:, 0] > columns_NC[:, 1]
    lefts_N = torch.where(mirrored_N, side - 1 - columns_NC[:, 0], columns_NC[:, 0])
    _, counts = (rows_N * side + lefts_N).unique(return_counts=True)
    assert len(counts) == 81
    assert counts.min() > 50
    assert counts.max() < 150
    assert 0.48 < mirrored_N.double().mean() < 0.52


def test_the_augmentation_is_pinned():
    """The crops and flips of a seed never change, or all baselines would."""
    images_NHWC = crop_and_flip(load_dataset("synthetic").train_images_NHWC[:64], seeded(0))
    assert hashlib.sha256(images_NHWC.numpy()).hexdigest() == (
        "93da923095bcccedb4221a904b923f50b7f193907cbf90bf6b2209277e86d87c"
    )


# --- normalisation


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_normalised_pixels_are_exact(dtype):
    """Every byte in every channel becomes (byte / 255 - mean) / std, rounded in the dtype at each step."""
    bytes_NHWC = torch.arange(256, dtype=torch.uint8).view(4, 8, 8, 1).expand(4, 8, 8, 3)
    images_NCHW = normalise(bytes_NHWC, dtype)
    number = {torch.float64: np.float64, torch.float32: np.float32}[dtype]
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        expected = (np.arange(256).astype(number) / number(255) - number(mean)) / number(std)
        assert images_NCHW[:, channel].flatten().tolist() == expected.tolist()


def test_normalised_images_are_contiguous_nchw():
    """The result is a contiguous batch of channels first, in the dtype asked for; the bytes stay."""
    bytes_NHWC = load_dataset("synthetic").train_images_NHWC[:4]
    before = bytes_NHWC.clone()
    images_NCHW = normalise(bytes_NHWC, torch.float64)
    assert (images_NCHW.shape, images_NCHW.dtype) == ((4, 3, 32, 32), torch.float64)
    assert images_NCHW.is_contiguous()
    assert torch.equal(bytes_NHWC, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_normalised_images_are_the_same_on_cuda(dtype):
    """CUDA gives the same bits as the CPU."""
    bytes_NHWC = load_dataset("synthetic").train_images_NHWC[:64]
    assert torch.equal(normalise(bytes_NHWC, dtype, "cuda").cpu(), normalise(bytes_NHWC, dtype))
