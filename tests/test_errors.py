"""Promises of the error messages: each word, once."""

import pickle

import pytest

from harness import errors


MESSAGES = [
    (
        errors.FieldError(field="epochs", value=0, rule="a whole number of at least 1"),
        "a recipe cannot have epochs=0\n"
        "  where  Recipe(epochs=...)\n"
        "  fix    epochs must be a whole number of at least 1",
    ),
    (
        errors.NoCifar10Error(),
        "this training needs CIFAR-10, and no path to it was given\n"
        "  fix    --cifar10=PATH, HARNESS_CIFAR10=PATH or the ini option cifar10: a folder in torchvision's layout or an .npz; --cifar10=download fetches it",
    ),
    (
        errors.DataMissingError(path="data/cifar.npz", looked_for="a folder or file"),
        "there is no CIFAR-10 at data/cifar.npz\n"
        "  where  looked for a folder or file\n"
        "  fix    give the folder that holds cifar-10-batches-py, or an .npz file",
    ),
    (
        errors.DataCorruptError(path="data/cifar.npz", reason="it is cut off"),
        "data/cifar.npz cannot be used as CIFAR-10: it is cut off\n"
        "  fix    fetch the file again, or point --cifar10 to another copy",
    ),
    (
        errors.DataForeignError(path="data/cifar.npz", found="x", expected="y"),
        "data/cifar.npz holds images, but not those of CIFAR-10\n"
        "  where  SHA-256 of the images and labels in use x, CIFAR-10 has y\n"
        "  fix    point --cifar10 to the official files, or to an .npz made from them in their order",
    ),
    (
        errors.TooFewImagesError(asked=9, split="train", data="synthetic", available=2),
        "the recipe asks for 9 train images, but synthetic has 2\n"
        "  where  Recipe(train_images=9)\n"
        "  fix    ask for at most 2",
    ),
    (
        errors.ModelOutputError(step=5, found="x", expected="y", model="cifar_cnn", classes=10),
        "step 5: the model returned x, not logits of shape y\n"
        "  where  model cifar_cnn\n"
        "  fix    return one row of 10 logits an image",
    ),
    (
        errors.NotAModelError(found="x", model="cifar_cnn"),
        "the model function returned x, not a torch.nn.Module\n"
        "  where  model cifar_cnn\n"
        "  fix    return the module itself",
    ),
    (
        errors.UnknownFaultError(fault="rate", known="rate-scaled, state-lost"),
        "there is no fault 'rate'\n  where  Variation(fault=...)\n  fix    use one of rate-scaled, state-lost",
    ),
    (
        errors.UnknownDeviceError(device="tpu", known="cpu, cuda, mps"),
        "there is no device 'tpu'\n  fix    use one of cpu, cuda, mps",
    ),
    (
        errors.NoDeviceError(device="tpu", probe="torch.cuda.is_available() is False"),
        "this machine has no tpu device (torch.cuda.is_available() is False)\n"
        "  fix    run on a machine that has one, or leave tpu out of --device and --require-device",
    ),
    (
        errors.DevicePrecisionError(device="tpu", precision="float64"),
        "tpu cannot compute in float64\n  fix    use a recipe of another precision there, or another device",
    ),
    (
        errors.NotRecordingError(method="log"),
        "the recorder is not recording\n"
        "  where  Recorder.log\n"
        "  fix    call it inside `with Recorder(...) as recorder:`",
    ),
    (
        errors.NotFinishedError(),
        "there is no record yet: the `with Recorder(...)` block has not ended, or ended with an exception\n"
        "  where  Recorder.record\n"
        "  fix    read recorder.record after the block",
    ),
    (
        errors.NothingWatchedError(),
        "no model was watched, so there is nothing to compare\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    call recorder.watch(model, optimizer) before the loop",
    ),
    (
        errors.NeverSteppedError(),
        "no watched optimizer took a step\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    watch the optimizer whose step() the loop calls: recorder.watch(model, optimizer)",
    ),
    (
        errors.NoLibraryError(library="ignite", extra="ignite"),
        "ignite is not installed\n"
        "  where  harness.adapters.ignite\n"
        "  fix    pip install 'pytest-training-regression[ignite]'",
    ),
    (
        errors.NoLossError(steps=3),
        "no loss was logged in 3 steps\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    call recorder.log(loss=loss) once a step",
    ),
    (
        errors.WatchedTwiceError(),
        "this model and optimizer are watched already\n"
        "  where  Recorder.watch\n"
        "  fix    call watch once, before the loop; after a resume, with the new model and optimizer",
    ),
    (
        errors.ForeignOptimizerError(),
        "the optimizer holds no parameter of the model\n"
        "  where  Recorder.watch\n"
        "  fix    pass the optimizer that was built from this model's parameters",
    ),
    (
        errors.SameNamesError(step=5),
        "two watched models whose tensors have the same names are both trained\n"
        "  where  step 5, optimizer.step()\n"
        "  fix    give each a name: recorder.watch(model, optimizer, name='teacher')",
    ),
    (
        errors.WrongDtypeError(tensor="conv1.weight", found="x", precision="float64", dtype="float64"),
        "conv1.weight is x, but this run is in float64\n"
        "  where  Recorder.watch\n"
        "  fix    build the model inside `with Recorder(...)`, or convert it with model.to(torch.float64)",
    ),
    (
        errors.LowPrecisionError(module="norm (Norm)", found="float32", place="model.py:12"),
        "norm (Norm) computes in float32, but this run is in float64\n"
        "  where  model.py:12\n"
        "  fix    compute in the dtype of its input, or record the training in float32: Recorder(precision='float32')",
    ),
    (
        errors.MixedPrecisionError(
            module="conv (Conv2d)",
            found="float32 and float64",
            precision="float64",
            dtype="float64",
            place="model.py:12",
        ),
        "conv (Conv2d) met float32 and float64 at once, but this run is in float64\n"
        "  where  model.py:12\n"
        "  fix    convert what is not float64 with .to(torch.float64); if the model insists on another precision, record the training in that: Recorder(precision=...)",
    ),
    (
        errors.NotANumberError(name="loss", found="x", method="log"),
        "loss is x, not a number, a scalar tensor or a list of them\n"
        "  where  Recorder.log\n"
        "  fix    log numbers: recorder.log(loss=loss)",
    ),
    (
        errors.NotABatchError(found="x", method="batch"),
        "x is no batch\n"
        "  where  Recorder.batch\n"
        "  fix    pass images and labels, one label an image, as tensors, arrays, or lists and dicts of them",
    ),
    (
        errors.NonFiniteError(stream="loss", value=0, step=5, stage="forward", name="loss"),
        "loss is 0 at step 5 (forward)\n"
        "  where  the record of loss\n"
        "  fix    find where the number is made: neither a baseline nor a figure can hold it",
    ),
    (
        errors.NoPictureError(name="loss", picture="filters", figure="filters", remedy="log it"),
        "the record of loss holds no filters\n  where  figures.filters\n  fix    log it",
    ),
    (
        errors.NoStreamError(name="loss", stream="loss", figure="loss_curve", remedy="log it"),
        "the record of loss holds no loss\n  where  figures.loss_curve\n  fix    log it",
    ),
    (
        errors.BaselineMissingError(path="data/cifar.npz", command="pytest t.py --mpl-generate-path=baselines"),
        "there is no baseline for this training yet\n"
        "  where  data/cifar.npz\n"
        "  fix    pytest t.py --mpl-generate-path=baselines",
    ),
    (
        errors.BaselineCorruptError(
            reason="it is cut off", path="data/cifar.npz", command="pytest t.py --mpl-generate-path=baselines"
        ),
        "the baseline cannot be read: it is cut off\n"
        "  where  data/cifar.npz\n"
        "  fix    restore it (git checkout -- data/cifar.npz) or regenerate it: pytest t.py --mpl-generate-path=baselines",
    ),
    (
        errors.BaselineEditedError(path="data/cifar.npz", command="pytest t.py --mpl-generate-path=baselines"),
        "the baseline was edited after it was written: its checksum does not fit its contents\n"
        "  where  data/cifar.npz\n"
        "  fix    restore it (git checkout -- data/cifar.npz) or regenerate it: pytest t.py --mpl-generate-path=baselines",
    ),
    (
        errors.UnrepeatableError(nodeid="t.py::test_a"),
        "this training, run again without any change, is not the same\n"
        "  where  t.py::test_a\n"
        "  fix    draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of "
        "its own",
    ),
    (
        errors.NoSeedsError(found=0, seeds=8, path="b/t.json", command="pytest t.py --equivalence=8"),
        "the baseline holds the summaries of 0 seeds, too few to judge by 8\n"
        "  where  b/t.json\n"
        "  fix    on the former version of the code, run: pytest t.py --equivalence=8",
    ),
    (
        errors.StatesError(reason="the header is no JSON"),
        "these are no stored states of a training: the header is no JSON\n"
        "  fix    write them with States.to_bytes()",
    ),
    (
        errors.BaselineEnvironmentError(
            choice="made in another environment (torch 2.0 -> 2.1)", path="b/t.json", command="pytest t.py"
        ),
        "no baseline of this environment is stored, and --strict takes no other; there is one made in another "
        "environment (torch 2.0 -> 2.1)\n"
        "  where  b/t.json\n"
        "  fix    store one for this environment, too: pytest t.py --add-environment",
    ),
    (
        errors.BaselineStatesError(
            reason="they are not those that were written", path="b/t~12.safetensors", command="pytest t.py"
        ),
        "the states of the baseline cannot be read: they are not those that were written\n"
        "  where  b/t~12.safetensors\n"
        "  fix    restore them (git checkout -- b/t~12.safetensors) or regenerate the baseline: pytest t.py",
    ),
    (
        errors.RerunFailedError(variation="2 threads", nodeid="t.py::test_a", output="E   boom\n1 failed"),
        "this training was run again with 2 threads, and that run left no record\n"
        "  where  t.py::test_a\n"
        "  fix    run the test alone and look at its output; the last lines of the run were:\nE   boom\n1 failed",
    ),
    (
        errors.BaselineNonFiniteError(
            value=0,
            stream="loss",
            step=5,
            stage="forward",
            path="data/cifar.npz",
            command="pytest t.py --mpl-generate-path=baselines",
        ),
        "the baseline holds 0 in loss at step 5 (forward)\n"
        "  where  data/cifar.npz\n"
        "  fix    no training can equal it; regenerate it: pytest t.py --mpl-generate-path=baselines",
    ),
    (
        errors.BaselineWriteError(reason="it is cut off", path="data/cifar.npz"),
        "the baseline could not be written: it is cut off\n"
        "  where  data/cifar.npz\n"
        "  fix    make the folder writable and the disk roomy, then run the command again; nothing was changed",
    ),
    (
        errors.NothingFailedError(place="build/harness/failed"),
        "no result of a failed comparison is kept here\n"
        "  where  build/harness/failed\n"
        "  fix    run pytest --mpl first; what differs from its baseline can then be accepted",
    ),
    (
        errors.NoCandidateError(name="x", place="build/harness/failed", known="a, b"),
        "no result of a failed comparison is called 'x'\n  where  build/harness/failed\n  fix    use one of a, b",
    ),
    (
        errors.NoReasonError(option="--reason"),
        "a baseline does not change without a reason\n"
        "  where  --reason\n"
        '  fix    --reason "...", in words that a reviewer will understand',
    ),
    (
        errors.CandidateCorruptError(path="a.json.candidate", reason="it is larger than 1 MiB"),
        "the note on a failed comparison cannot be used: it is larger than 1 MiB\n"
        "  where  a.json.candidate\n"
        "  fix    delete it and run the test again",
    ),
    (
        errors.CandidateIncompleteError(path="a.json", reason="it is not there", command="pytest x"),
        "the result cannot be accepted: it is not there\n"
        "  where  a.json\n"
        "  fix    run the test again, or train anew: pytest x",
    ),
    (
        errors.CandidateStaleError(name="a", reason="t.py changed after the comparison", test="t.py::test_a"),
        "the result for a is stale: t.py changed after the comparison\n"
        "  where  t.py::test_a\n"
        "  fix    run the test again: pytest --mpl 't.py::test_a'",
    ),
    (
        errors.NeedsTrainingError(name="a", obstacle="it holds the summaries of 8 seeds", command="pytest x"),
        "the result for a is no whole baseline: it holds the summaries of 8 seeds\n  fix    pytest x",
    ),
    (
        errors.NotStoredError(name="x", place="baselines"),
        "there is no baseline, file or folder 'x'\n"
        "  where  baselines\n"
        "  fix    give a name that `harness list` prints, a file, a folder, or REVISION:PATH",
    ),
    (
        errors.RevisionError(text="HEAD~9:x", place="/here", remedy="look elsewhere"),
        "git has nothing under 'HEAD~9:x'\n  where  /here\n  fix    look elsewhere",
    ),
    (
        errors.ResultsMissingError(path="build/harness"),
        "there are no results of a session here\n"
        "  where  build/harness\n"
        "  fix    run pytest --mpl first, or give a folder that holds its results.json: build/harness, an artifact of CI",
    ),
    (
        errors.ResultsCorruptError(path="results.json", reason="results[0].line is 'x'"),
        "the results of a session cannot be read: results[0].line is 'x'\n"
        "  where  results.json\n"
        "  fix    run pytest --mpl again, or fetch the artifact again; a file of another version needs that version",
    ),
    (
        errors.ReportWriteError(path="report.html", reason="it is a folder"),
        "the report could not be written: it is a folder\n"
        "  where  report.html\n"
        "  fix    name another file: harness report --output FILE",
    ),
    (
        errors.NotGeneratingError(option="--only-missing"),
        "--only-missing is about baselines that are written, and none are\n"
        "  where  the command line\n"
        "  fix    add --mpl-generate-path=baselines, or leave --only-missing out",
    ),
    (
        errors.NotComparedError(nodeid="t.py::test_a"),
        "this figure was collected but not compared\n"
        "  where  t.py::test_a\n"
        "  fix    run pytest with --mpl (CI is set, and a gate that compares nothing must not be green)",
    ),
    (
        errors.NotAFigureError(found="x", nodeid="t.py::test_a"),
        "the test returned x, not a figure\n  where  t.py::test_a\n  fix    end the test with `return figure`",
    ),
    (
        errors.MarkerOptionError(option="tolerence", nodeid="t.py::test_a", known="cpu, cuda, mps"),
        "mpl_image_compare has no option 'tolerence', and pytest-mpl would ignore it\n"
        "  where  t.py::test_a\n"
        "  fix    use one of cpu, cuda, mps",
    ),
    (
        errors.SharedBaselineError(file="a.png", first="one", second="other"),
        "two tests share the baseline file a.png\n"
        "  where  one and other\n"
        "  fix    rename one of them, or give it another filename",
    ),
    (
        errors.CheckedTwiceError(name="loss", nodeid="t.py::test_a"),
        "this test checks a second record under the name 'loss'\n"
        "  where  t.py::test_a\n"
        "  fix    name it: training_regression.check(record, name='...')",
    ),
    (
        errors.ResultsAlwaysError(value=0, path="data/cifar.npz"),
        "mpl-results-always = 0 means true to pytest-mpl\n  where  data/cifar.npz\n  fix    remove the line",
    ),
    (
        errors.HistoryFileError(path="build", reason="Is a directory"),
        "the history of margins cannot be kept: Is a directory\n"
        "  where  build\n"
        "  fix    name a file in a folder that can be written: --training-history=FILE, or the ini option training_history",
    ),
    (
        errors.OutputWriteError(path="build/harness", reason="No space left on device"),
        "what this session found cannot be kept: No space left on device\n"
        "  where  build/harness\n"
        "  fix    see to it that the disk has room and that this place can be written to, then run pytest again",
    ),
    (
        errors.RemoteBaselineError(path="data/cifar.npz"),
        "baselines cannot be read from data/cifar.npz: records are compared with local files\n"
        "  where  --mpl-baseline-path\n"
        "  fix    check the baselines out beside the tests",
    ),
    (
        errors.SeedCountError(kind="planned", found=2, needed="3 or more", remedy="plan 3 or more"),
        "planned seeds: 2, but it takes 3 or more\n  where  equivalence.judge\n  fix    plan 3 or more",
    ),
    (
        errors.SeedMissingError(seed=9, known="0, 1, 2"),
        "the baseline holds no summary of seed 9\n"
        "  where  it holds those of seeds 0, 1, 2\n"
        "  fix    train the seeds that the baseline holds: a seed is compared with itself",
    ),
    (
        errors.MetricMissingError(metric="loss", place="seed 0 of the baseline", other="the margins"),
        "loss is in seed 0 of the baseline, but not in the margins\n"
        "  where  equivalence.judge\n"
        "  fix    log the same numbers in every seed's training; if they changed on purpose, regenerate the baseline",
    ),
    (
        errors.MetricValueError(metric="loss", value=float("nan"), seed=2, side="the baseline"),
        "loss is nan, not a finite number\n"
        "  where  seed 2 of the baseline\n"
        "  fix    find out why this seed's training ends so; no mean can be taken over it",
    ),
    (
        errors.NoMetricError(),
        "the seeds' summaries hold no metric\n"
        "  where  equivalence.judge\n"
        "  fix    log a number in the training: recorder.log(loss=loss)",
    ),
    (
        errors.EventsMissingError(path="runs", looked_for="a folder"),
        "there are no event files in runs\n"
        "  where  looked for a folder\n"
        "  fix    give the folder that the training writes its TensorBoard events to",
    ),
    (
        errors.EventsCorruptError(path="runs/a.tfevents", reason="the event at byte 24 is damaged"),
        "the event file cannot be read: the event at byte 24 is damaged\n"
        "  where  runs/a.tfevents\n"
        "  fix    remove it, and train again",
    ),
    (
        errors.EventsCutOffError(path="runs/a.tfevents", start=24),
        "the event file is cut off: the event that begins at byte 24 is not whole\n"
        "  where  runs/a.tfevents\n"
        "  fix    close the writer before the check (writer.close()), or find out why the training did not end",
    ),
    (
        errors.NoScalarError(path="runs"),
        "the event files hold no scalar to compare\n"
        "  where  runs\n"
        "  fix    log one (writer.add_scalar('loss', loss, step)), and close the writer before the check (writer.close())",
    ),
    (
        errors.EventsWriteError(path="runs/a", reason="Not a directory"),
        "the TensorBoard run could not be written: Not a directory\n"
        "  where  runs/a\n"
        "  fix    give a folder that can be written to: --tensorboard=DIR",
    ),
]


def leaves(kind):
    """Errors that are raised, as opposed to those that group them."""
    below = kind.__subclasses__()
    return {leaf for sub in below for leaf in leaves(sub)} if below else {kind}


@pytest.mark.parametrize(("error", "text"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_says_what_where_and_what_to_do(error, text):
    """The words are the product: they change only together with this list."""
    assert str(error) == text


def test_every_error_is_in_the_list():
    """A new error without a tested message fails here."""
    assert {type(error) for error, _ in MESSAGES} == leaves(errors.HarnessError)


def test_the_tree_in_the_docstring_is_the_tree():
    """The drawing at the top of the module names every group, and nothing else."""
    drawn = {line.split()[1] for line in errors.__doc__.splitlines() if line.startswith(("├", "└"))}

    assert drawn == {group.__name__ for group in errors.HarnessError.__subclasses__()}


def test_an_error_keeps_its_facts():
    """Programs read facts, not messages."""
    assert errors.UnknownDeviceError(device="tpu", known="cpu").facts == {"device": "tpu", "known": "cpu"}


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda error: type(error).__name__)
def test_an_error_survives_a_process_pool(error):
    """Pickled and back it says the same: trainings run side by side in processes."""
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
