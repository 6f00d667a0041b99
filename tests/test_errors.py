"""Promises of the error messages: each word, once."""

import inspect
import pickle
import re

import pytest

from harness import errors


MESSAGES = [
    (
        errors.ArgumentError.of("Recipe", "epochs", "nan", "a whole number of at least 1"),
        "epochs cannot be 'nan'\n  where  Recipe(epochs=...)\n  fix    epochs must be a whole number of at least 1",
    ),
    (
        errors.DataError.missing(path="a/b", looked_for="a folder"),
        "there is no CIFAR-10 at a/b\n"
        "  where  looked for a folder\n"
        "  fix    give the folder that holds cifar-10-batches-py, or an .npz file",
    ),
    (
        errors.DataError.corrupt(path="a/b", reason="it is cut off"),
        "a/b cannot be used as CIFAR-10: it is cut off\n  fix    fetch the file again, or name another copy",
    ),
    (
        errors.DataError.foreign(path="a/b", found="x", expected="y"),
        "a/b holds images, but not those of CIFAR-10\n"
        "  where  SHA-256 of the images and labels in use x, CIFAR-10 has y\n"
        "  fix    name the official files, or an .npz made from them in their order",
    ),
    (
        errors.DataError.too_few(data="synthetic", split="train", asked=9, available=2),
        "the recipe asks for 9 train images, but synthetic has 2\n"
        "  where  Recipe(train_images=9)\n"
        "  fix    ask for at most 2",
    ),
    (
        errors.NoCifar10Error.of(ways="--training-cifar10=PATH"),
        "this training needs CIFAR-10, and no path to it was given\n"
        "  fix    --training-cifar10=PATH: a folder in torchvision's layout or an .npz; the word download fetches it",
    ),
    (
        errors.ModelError.output(model="cifar_cnn", step=5, found="x", expected=(4, 10)),
        "step 5: the model returned x, not logits of shape (4, 10)\n"
        "  where  model cifar_cnn\n"
        "  fix    return one row of 10 logits an image",
    ),
    (
        errors.ModelError.not_a_module(model="cifar_cnn", found="x"),
        "the model function returned x, not a torch.nn.Module\n"
        "  where  model cifar_cnn\n"
        "  fix    return the module itself",
    ),
    (
        errors.DeviceError.unknown(device="tpu", known=("cpu", "cuda")),
        "there is no device 'tpu'\n  fix    use one of cpu, cuda",
    ),
    (
        errors.DeviceError.marked(nodeid="test_a.py::test_b", device="cuda:0", known=("cpu", "cuda")),
        "the marker `device` names 'cuda:0', which is no device\n"
        "  where  test_a.py::test_b\n"
        "  fix    use one of cpu, cuda; if the marker means something else, rename it, or use no fixture of ours",
    ),
    (
        errors.NoDeviceError.of(device="tpu", probe="no driver"),
        "this machine has no tpu device (no driver)\n"
        "  fix    run on a machine that has one, or train on another device",
    ),
    (
        errors.DevicePrecisionError.of(device="tpu", precision="float64"),
        "tpu cannot compute in float64\n  fix    use a recipe of another precision there, or another device",
    ),
    (
        errors.RecorderError.not_recording(method="log"),
        "the recorder is not recording\n"
        "  where  Recorder.log\n"
        "  fix    call it inside `with Recorder(...) as recorder:`",
    ),
    (
        errors.RecorderError.already_recording(),
        "this recorder is recording already\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    leave its block before it is entered again, or make another recorder",
    ),
    (
        errors.RecorderError.other_thread(thread="Thread-1"),
        "another recorder is recording in another thread, Thread-1, and both need the same globals\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    train one after the other, or in processes of their own",
    ),
    (
        errors.RecorderError.overlapping(),
        "another recorder has begun before this one and ended within it, or begun within it and not ended\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    train one after the other, or one within the other; tasks that take turns do neither",
    ),
    (
        errors.RecorderError.unwatched_optimizer(optimizer="Adam", tensor="fc.weight", step=4),
        "an optimizer that is not watched (Adam) steps fc.weight, a weight of a watched model\n"
        "  where  step 4, optimizer.step()\n"
        "  fix    watch it, and its model, before it steps: recorder.watch(model, optimizer)",
    ),
    (
        errors.RecorderError.moved_unwatched(tensor="fc.weight", step=4),
        "fc.weight has moved since a batch went in, but no watched optimizer has stepped\n"
        "  where  step 4\n"
        "  fix    watch it, and its model, before it steps: recorder.watch(model, optimizer); "
        "after each update by hand, call recorder.step()",
    ),
    (
        errors.RecorderError.batches_unwatched(count=3, optimizer="Adam", step=4),
        "no watched optimizer has stepped in the last 3 batches, but one that is not watched (Adam)\n"
        "  where  step 4, the last one\n"
        "  fix    watch it, and its model, before it steps: recorder.watch(model, optimizer)",
    ),
    (
        errors.RecorderError.hooks_gone(owner="Adam", step=4),
        "the recorder's hooks on Adam were taken off\n"
        "  where  step 4\n"
        "  fix    leave them there: take off no hooks but your own, with what registering them returned",
    ),
    (
        errors.RecorderError.still_lazy(tensor="fc.weight"),
        "fc.weight never got a shape, so nothing of its model was recorded\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    run all of the model's lazy layers, or leave out what never runs",
    ),
    (
        errors.RecorderError.not_finished(),
        "there is no record yet: the `with Recorder(...)` block has not ended, or ended with an exception\n"
        "  where  Recorder.record\n"
        "  fix    read recorder.record after the block",
    ),
    (
        errors.RecorderError.nothing_watched(),
        "no model was watched, so there is nothing to compare\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    call recorder.watch(model, optimizer) before the loop",
    ),
    (
        errors.RecorderError.never_stepped(),
        "no watched optimizer took a step\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    watch the optimizer whose step() the loop calls: recorder.watch(model, optimizer); after each "
        "update by hand, call recorder.step()",
    ),
    (
        errors.RecorderError.no_loss(steps=3),
        "no loss was logged in 3 steps\n"
        "  where  the `with Recorder(...)` block\n"
        "  fix    call recorder.log(loss=loss) once a step; where there is none, recorder.log() says so",
    ),
    (
        errors.RecorderError.watched_twice(),
        "this model and optimizer are watched already\n"
        "  where  Recorder.watch\n"
        "  fix    call watch once, before the loop; after a resume, with the new model and optimizer",
    ),
    (
        errors.RecorderError.foreign_optimizer(),
        "the optimizer holds no parameter of the model\n"
        "  where  Recorder.watch\n"
        "  fix    pass the optimizer that was built from this model's parameters",
    ),
    (
        errors.RecorderError.not_an_optimizer(found="StepLR"),
        "StepLR is no optimizer\n"
        "  where  Recorder.watch\n"
        "  fix    pass a torch.optim.Optimizer, several one after the other, a name as name='teacher'; after each "
        "update by hand, call recorder.step()",
    ),
    (
        errors.RecorderError.not_a_model(found="SGD"),
        "SGD is no model\n"
        "  where  Recorder.watch\n"
        "  fix    pass the torch.nn.Module first, then its optimizer: recorder.watch(model, optimizer)",
    ),
    (
        errors.RecorderError.scripted(),
        "a module that torch.jit.script made takes no hooks\n"
        "  where  Recorder.watch\n"
        "  fix    train and watch the module that it was made of, and script that after the block",
    ),
    (
        errors.RecorderError.incomplete(doing="a step of SGD", error=KeyError("lr"), step=5, place="a.py:3"),
        "the recorder could not do its part of a step of SGD, so this record is incomplete: KeyError: 'lr'\n"
        "  where  step 5, a.py:3\n"
        "  fix    report these lines: it is no fault of the loop, which has gone on as it would without a recorder",
    ),
    (
        errors.RecorderError.same_names(step=5),
        "two watched models whose tensors have the same names are both trained\n"
        "  where  step 5, optimizer.step()\n"
        "  fix    give each a name: recorder.watch(model, optimizer, name='teacher')",
    ),
    (
        errors.RecorderError.not_a_number(name="loss", found="x", method="log"),
        "loss is x, not a number, a scalar tensor or a list of them\n"
        "  where  Recorder.log\n"
        "  fix    log numbers: recorder.log(loss=loss)",
    ),
    (
        errors.RecorderError.divided(name="loss", method="log"),
        "loss is a DTensor of which this rank holds a part, and the recorder asks no other rank\n"
        "  where  Recorder.log\n"
        "  fix    log a number that the loop has: loss.full_tensor(), which every rank has to call",
    ),
    (
        errors.RecorderError.reserved(name="gradient/a", method="log"),
        "'gradient/a' is a name that the recorder gives to what it sees itself\n"
        "  where  Recorder.log\n"
        "  fix    log it under another name, as in my_gradient_a",
    ),
    (
        errors.RecorderError.not_a_batch(found="x", method="log"),
        "x is no batch\n"
        "  where  Recorder.log\n"
        "  fix    pass images and labels, one label an image, as tensors, arrays, or lists and dicts of them",
    ),
    (
        errors.PrecisionError.dtype(tensor="conv1.weight", found="x", precision="float64"),
        "conv1.weight is x, but this run is in float64\n"
        "  where  Recorder.watch\n"
        "  fix    build the model inside `with Recorder(...)`, or convert it with model.to(torch.float64)",
    ),
    (
        errors.PrecisionError.low(module="norm (LlamaRMSNorm)", found="x", place="model.py:12", made="model.py:7"),
        "norm (LlamaRMSNorm) computes in x, but this run is in float64\n"
        "  where  model.py:7, used in line 12\n"
        "  fix    compute in the dtype of its input, or record the training in float32: Recorder(precision='float32')",
    ),
    (
        errors.PrecisionError.mixed(
            module="norm (LlamaRMSNorm)", found="x", precision="float64", place="model.py:12", made="data.py:7"
        ),
        "norm (LlamaRMSNorm) met x at once, but this run is in float64\n"
        "  where  data.py:7, used at model.py:12\n"
        "  fix    give what is not float64 the dtype of the model, as in inputs.to(weight.dtype); if the model insists on another precision, record the training in that: Recorder(precision=...)",
    ),
    (
        errors.NoLibraryError.of(library="ignite"),
        "ignite is not installed\n"
        "  where  harness.adapters.ignite\n"
        "  fix    pip install 'pytest-training-regression[ignite]'",
    ),
    (
        errors.RecordError.of("it is cut off"),
        "this text is no training record: it is cut off\n  fix    write it with Record.to_text()",
    ),
    (
        errors.RecordError.unreadable(path="a.json", reason="checksum"),
        "this file is no training record: it was edited: its checksum does not fit its contents\n"
        "  where  a.json\n"
        "  fix    name a file that Record.save() wrote, or a baseline",
    ),
    (
        errors.RecordError.unwritten(path="a.json", reason="No space left on device"),
        "the record could not be written: No space left on device\n  where  a.json\n  fix    name another file",
    ),
    (
        errors.NonFiniteError.at(name="loss", step=5, stage="forward", stream="loss", value="nan"),
        "loss is nan at step 5 (forward)\n"
        "  where  the record of loss\n"
        "  fix    find where the number is made; a figure cannot hold it, a baseline can if its test expects it: "
        "check(record, allow_nonfinite=['loss', ...])",
    ),
    (
        errors.NotRecordedError.missing(
            "mistakes", name="a", figure="mistakes", remedy="log it", reason="all is right"
        ),
        "the record of a holds no mistakes: all is right\n  where  figures.mistakes\n  fix    log it",
    ),
    (
        errors.StatesError.of("it is cut off"),
        "these are no stored states of a training: it is cut off\n  fix    write them with States.to_bytes()",
    ),
    (
        errors.EquivalenceError.seed_count(kind="baseline", found=2, needed="8", remedy="log it"),
        "baseline seeds: 2, but it takes 8\n  where  equivalence.judge\n  fix    log it",
    ),
    (
        errors.EquivalenceError.unknown_seed(seed=3, known=(0, 1)),
        "the baseline holds no summary of seed 3\n"
        "  where  it holds those of seeds 0, 1\n"
        "  fix    train the seeds that the baseline holds: a seed is compared with itself",
    ),
    (
        errors.EquivalenceError.no_seeds(path="a/b", found=2, seeds=8, command="pytest x"),
        "the baseline holds the summaries of 2 seeds, too few to judge by 8\n"
        "  where  a/b\n"
        "  fix    on the former version of the code, run: pytest x",
    ),
    (
        errors.EquivalenceError.more_seeds(path="a/b", found=8, seeds=3, command="pytest x"),
        "the baseline holds the summaries of 8 seeds, more than the 3 planned ones\n"
        "  where  a/b\n"
        "  fix    judge by all of them (--training-equivalence=8), or on the former version of the code, run: pytest x",
    ),
    (
        errors.EquivalenceError.metric_missing(metric="loss", place="model.py:12", other="seed 1 of the baseline"),
        "loss is in model.py:12, but not in seed 1 of the baseline\n"
        "  where  equivalence.judge\n"
        "  fix    log the same numbers in every seed's training; if they changed on purpose, regenerate the baseline",
    ),
    (
        errors.EquivalenceError.not_finite(metric="loss", value="nan", seed=3, side="the baseline"),
        "loss is 'nan', not a finite number\n"
        "  where  seed 3 of the baseline\n"
        "  fix    find out why this seed's training ends so; no mean can be taken over it",
    ),
    (
        errors.EquivalenceError.no_metric(),
        "the seeds' summaries hold no metric\n"
        "  where  equivalence.judge\n"
        "  fix    log a number in the training: recorder.log(loss=loss)",
    ),
    (
        errors.BaselineError.other_environment(path="a/b", choice="of another CPU", command="pytest x"),
        "no baseline of this environment is stored, and --training-strict takes no other; there is one of another CPU\n"
        "  where  a/b\n"
        "  fix    store one for this environment, too: pytest x --training-generate=add",
    ),
    (
        errors.BaselineError.other_gate(path="a/b", now="", then="ignores loss: 'so'", command="pytest x"),
        "the test loosens its gate otherwise than when its baseline was made: it loosens nothing, the baseline ignores "
        "loss: 'so'\n"
        "  where  a/b\n"
        '  fix    undo that, or write the baseline anew with a reason: pytest x --training-reason="..."',
    ),
    (
        errors.BaselineError.gate_there(nodeid="test_a.py::test_b", name="main (9f8e7d2)", now="ignores loss", then=""),
        "the test loosens its gate otherwise than at main (9f8e7d2): it ignores loss, there it loosens nothing\n"
        "  where  test_a.py::test_b\n"
        "  fix    undo that, or bring it in alone: the commits after it are held against it",
    ),
    (
        errors.BaselineMissingError.of(path="a/b", command="pytest x", accept="harness accept b"),
        "there is no baseline for this training yet\n"
        "  where  a/b\n"
        "  fix    pytest x; or, with the numbers of this run: harness accept b",
    ),
    (
        errors.BaselineMissingError.figure(path="a/b", command="pytest x", accept="harness accept b"),
        "there is no baseline for this figure yet\n"
        "  where  a/b\n"
        "  fix    pytest x; or, with the picture of this run: harness accept b",
    ),
    (
        errors.BaselineCorruptError.unreadable(path="a/b", reason="it is cut off", command="pytest x"),
        "the baseline cannot be read: it is cut off\n"
        "  where  a/b\n"
        "  fix    restore it (git checkout -- a/b) or regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.edited(path="a/b", command="pytest x"),
        "the baseline was edited after it was written: its checksum does not fit its contents\n"
        "  where  a/b\n"
        "  fix    restore it (git checkout -- a/b) or regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.not_finite(
            path="a/b", step=5, stage="forward", stream="loss", value="nan", command="pytest x"
        ),
        "the baseline holds nan in loss at step 5 (forward)\n"
        "  where  a/b\n"
        "  fix    no training can equal it; regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.states(path="a/b", reason="it is cut off", command="pytest x"),
        "the states of the baseline cannot be read: it is cut off\n"
        "  where  a/b\n"
        "  fix    restore them (git checkout -- a/b) or regenerate the baseline: pytest x",
    ),
    (
        errors.BaselineCorruptError.link(path="a/b", target="c/d", command="pytest x"),
        "the baseline is a link to c/d, and what is behind a link can be anything: the result itself\n"
        "  where  a/b\n"
        "  fix    put a copy of the file in its place if it is the right one, or regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.pointer(path="a/b", command="pytest x"),
        "the baseline is a pointer of Git LFS: the file that it stands for was not fetched\n"
        "  where  a/b\n"
        "  fix    fetch it: git lfs install && git lfs pull (actions/checkout: lfs: true); or regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.unmerged(path="a/b", command="pytest x"),
        "the baseline is half of a merge: both sides changed it, and neither was chosen\n"
        "  where  a/b\n"
        "  fix    choose a side (git checkout --theirs -- a/b, or --ours), then git add it; or regenerate it: pytest x",
    ),
    (
        errors.BaselineCorruptError.marked(path="a/b", command="pytest x"),
        "the baseline holds the marks of a merge conflict, and was committed with them\n"
        "  where  a/b\n"
        "  fix    take it from the commit of one side (git log -m -- a/b; git checkout COMMIT -- a/b); or regenerate it: "
        "pytest x",
    ),
    (
        errors.BaselineImplausibleError.of(path="a/b", reason="a margin of 1000", command="pytest x"),
        "the baseline holds what its own training cannot have shown: a margin of 1000\n"
        "  where  a/b\n"
        "  fix    look at who wrote it and why, and regenerate it: pytest x",
    ),
    (
        errors.BaselineImplausibleError.unjudgeable(nodeid="test_a.py::test_b", reason="it is chaos"),
        "a baseline of this training would judge nothing: it is chaos\n"
        "  where  test_a.py::test_b\n"
        "  fix    fewer steps or iterations, a lower rate, or stored states: "
        "Recorder(states=training_regression.states())",
    ),
    (
        errors.BaselineWriteError.of(path="a/b", reason="it is cut off"),
        "the baseline could not be written: it is cut off\n"
        "  where  a/b\n"
        "  fix    make the folder writable and the disk roomy, then run the command again; nothing was changed",
    ),
    (
        errors.AcceptError.nothing_failed(place="model.py:12"),
        "no result of a failed comparison is kept here\n"
        "  where  model.py:12\n"
        "  fix    run pytest --mpl first; what differs from its baseline, or has none yet, can then be accepted",
    ),
    (
        errors.AcceptError.unknown(name="loss", place="model.py:12", near=["cpu", "cuda"]),
        "no result of a failed comparison is called 'loss'\n  where  model.py:12\n  fix    use one of cpu, cuda",
    ),
    (
        errors.AcceptError.no_reason(option="--reason"),
        "a baseline does not change without a reason\n"
        "  where  --reason\n"
        '  fix    --reason "...", in words that a reviewer will understand',
    ),
    (
        errors.AcceptError.loosened(nodeid="test_a.py::test_b", gate="ignores loss"),
        "a gate is not loosened without a reason: the test ignores loss\n"
        "  where  test_a.py::test_b\n"
        '  fix    say why, in words that a reviewer will understand: --training-reason="..."',
    ),
    (
        errors.AcceptError.note(path="a/b", reason="it is cut off"),
        "the note on a failed comparison cannot be used: it is cut off\n"
        "  where  a/b\n"
        "  fix    delete it and run the test again",
    ),
    (
        errors.AcceptError.incomplete(path="a/b", reason="it is cut off", command="pytest x"),
        "the result cannot be accepted: it is cut off\n"
        "  where  a/b\n"
        "  fix    run the test again, or train anew: pytest x",
    ),
    (
        errors.TreeError.cannot_run(commit="abc123", test="test_a.py::test_b", reason="it has no such test"),
        "commit abc123 cannot run this test: it has no such test\n"
        "  where  test_a.py::test_b\n"
        "  fix    have what it needs installed there: --setup COMMAND; or name another commit: --against REF",
    ),
    (
        errors.TreeError.uncommitted(path="baselines/a.json", reason="none has it"),
        "no commit is known that this baseline was made at: none has it\n"
        "  where  baselines/a.json\n"
        "  fix    commit it with the code that it was made from, or name a commit to run: --against REF",
    ),
    (
        errors.AcceptError.elsewhere(name="loss", place="docs", folder="baselines"),
        "the result for loss was compared with a baseline in docs, and this project's are in baselines\n"
        "  fix    to have it written there, name that folder yourself: --baselines DIR",
    ),
    (
        errors.AcceptError.no_place(name="loss", place="baselines", reason="its baseline is not a plain file"),
        "the result for loss cannot be written: its baseline is not a plain file\n"
        "  where  baselines\n"
        "  fix    keep baselines as plain files in a folder of the project",
    ),
    (
        errors.AcceptError.stale(name="loss", reason="it is cut off", test="test_a.py::test_b"),
        "the result for loss is stale: it is cut off\n"
        "  where  test_a.py::test_b\n"
        "  fix    run the test again: pytest --mpl test_a.py::test_b",
    ),
    (
        errors.AcceptError.needs_training(
            name="loss", obstacle="its states are made while it trains", command="pytest x"
        ),
        "the result for loss is no whole baseline: its states are made while it trains\n  fix    pytest x",
    ),
    (
        errors.RerunError.failed(nodeid="test_a.py::test_b", change="2 threads", output="E  boom"),
        "this training was run again with 2 threads, and that run left no record\n"
        "  where  test_a.py::test_b\n"
        "  fix    run the test alone and look at its output; the last lines of the run were:\n"
        "E  boom",
    ),
    (
        errors.UnseededError.of(step=3, stage="data", stream="images of the batch", draws="a.py:7: os.urandom"),
        "this training, run again without any change, is another from step 3 on: data, images of the batch\n"
        "  where  a.py:7: os.urandom\n"
        "  fix    draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of its "
        "own; let nothing depend on the order of a set, on the clock or on files of an earlier run",
    ),
    (
        errors.UnseededError.in_one_session(step=3, stage="forward", stream="loss", draws="", others=["a", "b"]),
        "two trainings of one session differ from step 3 on: forward, loss\n"
        "  where  no draw without a seed was seen; a and b were others at the first step: drawn from before the block, or "
        "without a seed\n"
        "  fix    a later one says nothing of the one that the test got; find what is another the second time: a draw "
        "without a seed, a cache or counter that outlives a training, a patch that has ended, threads that race, on a "
        "GPU an operation that has no deterministic kernel",
    ),
    (
        errors.SuiteError.no_source(name="trian.py", root="/home/me/project"),
        "the project has no source 'trian.py'\n"
        "  where  check(..., sources=...), below /home/me/project\n"
        "  fix    name files of it, or patterns, relative to that folder: sources=['train.py', 'configs/*.yaml']",
    ),
    (
        errors.BaselineError.loose(
            path="a/b",
            family="loss",
            step=4,
            stored=1e-6,
            measured=1e-12,
            draws="3 draws of rounding",
            command="pytest x",
        ),
        "the thresholds of this baseline are far above what its training shows: loss, step 4\n"
        "  where  a/b: 1.0e-06, measured again 1.0e-12 with 3 draws of rounding\n"
        "  fix    regenerate it, and look at who loosened it and why: pytest x",
    ),
    (
        errors.RanksError.local(name="test_a.<locals>.train"),
        "test_a.<locals>.train cannot be found in another process\n"
        "  where  ranks(...)\n"
        "  fix    define it with `def` in a module, not within another function",
    ),
    (
        errors.RanksError.failed(rank=1, world_size=2, line="ValueError: no"),
        "rank 1 of 2 failed: ValueError: no\n"
        "  fix    read its traceback in the captured output; the other ranks were ended",
    ),
    (
        errors.RanksError.no_record(name="train", found="int"),
        "train returned int, not a Record\n"
        "  where  ranks(...)\n"
        "  fix    return recorder.record, once the recorder's block has ended",
    ),
    (
        errors.RanksError.hung(places={0: "train.py:9 in train", 2: "nobody knows"}, world_size=4, seconds=300),
        "rank 0, 2 of 4 did not end within 300 seconds\n"
        "  where  rank 0: train.py:9 in train; rank 2: nobody knows\n"
        "  fix    read the captured output, which has the whole stacks; if only more time is needed: "
        "ranks(..., timeout_seconds=600)",
    ),
    (
        errors.RanksError.none_given(function="check_ranks"),
        "there is no record of any rank\n"
        "  where  check_ranks([])\n"
        "  fix    give what ranks(function) returns, or the folder that every rank has saved its own in",
    ),
    (
        errors.RanksError.empty(place="out"),
        "this folder holds no record of any rank\n"
        "  where  out\n"
        '  fix    have every rank save its own: recorder.record.save(f"{folder}/rank{rank}.json")',
    ),
    (
        errors.RanksError.no_folder(place="/a/out"),
        "there is no such folder\n"
        "  where  /a/out\n"
        "  fix    name the folder that every rank saves its own record in: "
        'recorder.record.save(f"{folder}/rank{rank}.json")',
    ),
    (
        errors.RanksError.unreadable(path="out/a.json", reason="this file is no training record: it is cut off"),
        "in the folder of all ranks' records, this file is no training record: it is cut off\n"
        "  where  out/a.json\n"
        "  fix    leave nothing but the records of all ranks in this folder, and have them saved anew",
    ),
    (
        errors.RanksError.missing(ranks=[1, 3], world_size=4, place="out"),
        "of 4 ranks, the record of rank 1, 3 is missing\n"
        "  where  out\n"
        "  fix    have every rank save its record, and start all of them",
    ),
    (
        errors.RanksError.foreign(found=["rank 0 of 2", "rank 0 of 4"], place="out"),
        "these records are not one a rank of one training: rank 0 of 2, rank 0 of 4\n"
        "  where  out\n"
        "  fix    give those of one training; if they are in a folder, empty it before each",
    ),
    (
        errors.RanksError.alone(nodeid="test_a.py::test_b"),
        """there is one record, of a process that was in no process group: whatever started it started no ranks
  where  test_a.py::test_b
  fix    have it start all ranks; of a single process: training_regression.check""",
    ),
    (
        errors.RanksError.not_single(rank=0, world_size=2, nodeid="test_a.py::test_b"),
        "single is the record of rank 0 of 2\n"
        "  where  test_a.py::test_b\n"
        "  fix    give that of one process that trains on all samples",
    ),
    (
        errors.RanksError.rounded(precision="float32", nodeid="test_a.py::test_b"),
        "in float32 rounding alone parts ranks from a single process\n"
        "  where  test_a.py::test_b\n"
        '  fix    have both train in precision="float64", or leave single out: then the baseline of the test counts',
    ),
    (
        errors.RanksError.apart(first="gradient of w at step 1", nodeid="test_a.py::test_b"),
        "the ranks of this training part, which cannot become a baseline: gradient of w at step 1\n"
        "  where  test_a.py::test_b\n"
        "  fix    have all ranks train the same model, then write the baseline",
    ),
    (
        errors.RerunError.launched(nodeid="test_a.py::test_b", ranks=2),
        "this session is one of 2 ranks that a launcher started, and no rank can be run again alone\n"
        "  where  test_a.py::test_b\n"
        "  fix    start pytest itself, and the ranks in the test: with the fixture `ranks`, or with the launcher",
    ),
    (
        errors.RerunError.unrepeatable(nodeid="test_a.py::test_b"),
        "this training, run again without any change, is not the same\n"
        "  where  test_a.py::test_b\n"
        "  fix    draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of its own",
    ),
    (
        errors.FaultError.planting(fault="rate-scaled", error=TypeError("no\nnumber")),
        "planting raised TypeError: no\n"
        "  where  fault rate-scaled\n"
        "  fix    report it with its traceback: the training has nothing to do with it",
    ),
    (
        errors.FaultError.broken(fault="rate-scaled", error=ZeroDivisionError()),
        "the training ended with ZeroDivisionError\n"
        "  where  fault rate-scaled\n"
        "  fix    nothing: nobody overlooks what this fault does",
    ),
    (
        errors.FaultError.untouched(fault="rate-scaled", error=OSError("no file")),
        "the training ended with OSError: no file, which tells nothing of the fault\n"
        "  where  fault rate-scaled\n"
        "  fix    run the test alone and look at its output; then measure again",
    ),
    (
        errors.TreeError.no_git(reason="x"),
        "git cannot be started: x\n  fix    install git: other commits are known to it alone",
    ),
    (
        errors.TreeError.no_repository(root="a/b", reason="x"),
        "git finds no checkout of a repository here: x\n  where  a/b\n  fix    run this in the project's git checkout",
    ),
    (
        errors.TreeError.unknown(revision="HEAD~9", root="a/b", reason="x"),
        "'HEAD~9' is no commit: x\n"
        "  where  a/b\n"
        "  fix    name a commit, branch or tag that is here; git fetch brings others",
    ),
    (
        errors.TreeError.shallow(revision="HEAD~9", root="a/b", commits=1),
        "'HEAD~9' is not in this shallow clone, which has 1 commit\n"
        "  where  a/b\n"
        "  fix    fetch it: git fetch --unshallow; with GitHub's action checkout, fetch-depth: 0",
    ),
    (
        errors.TreeError.incomplete(commit="0123456789abcdef", path="a/b", reason="x"),
        "commit 0123456789ab cannot be checked out: x\n"
        "  where  a/b\n"
        "  fix    make room there, or name another folder: XDG_CACHE_HOME=DIR; in a partial clone, fetch its files: "
        "git archive 0123456789ab > /dev/null",
    ),
    (
        errors.TreeError.not_kept(file="a.bin", commit="0123456789abcdef"),
        "Git LFS keeps a.bin, and what commit 0123456789ab has there was not fetched\n"
        "  fix    git lfs fetch origin 0123456789abcdef",
    ),
    (
        errors.TreeError.submodule(path="lib", commit="0123456789abcdef"),
        "commit 0123456789abcdef of the submodule lib is not here\n"
        "  fix    git fetch --recurse-submodules; if it has been removed since: git clone it to where it was",
    ),
    (
        errors.TreeError.no_folder(revision="HEAD~9", folder="a/b"),
        "'HEAD~9' has no folder a/b, where the project is now\n  fix    name a commit that has it",
    ),
    (
        errors.TreeError.setup(command="uv sync", status=3, output="a\nb"),
        "the command that makes a tree ready ended with status 3; it printed last:\na\nb\n"
        "  where  --training-setup='uv sync'\n"
        "  fix    it runs in the project's root in the tree; TRAINING_OWN_TREE names that folder of your own checkout",
    ),
    (
        errors.TreeError.no_harness(command="uv sync"),
        "the Python that was made for a tree, .venv, lacks pytest-training-regression\n"
        "  where  --training-setup='uv sync'\n"
        "  fix    install that there, too",
    ),
    (
        errors.TreeError.foreign(commit="0123456789abcdef", modules=["a (a.py)", "b (b.py)"]),
        "a training at commit 0123456789ab ran code that is not that commit's: a (a.py), b (b.py)\n"
        "  fix    name the folder of its sources in pytest's `pythonpath`, or install that commit's own in a .venv: "
        "--training-setup=COMMAND",
    ),
    (
        errors.TreeError.absent(module="a", file="a/b", commit="0123456789abcdef"),
        "commit 0123456789ab has no module a; that of your own checkout is not taken\n"
        "  where  a/b\n"
        "  fix    if it is built or generated, have it made there: --training-setup=COMMAND",
    ),
    (
        errors.TreeError.cache(path="a/b", reason="x"),
        "the trees of other commits cannot be kept in a/b: x\n"
        "  fix    name a folder that can be written to: XDG_CACHE_HOME=DIR",
    ),
    (
        errors.TreeError.undecided(commit="0123456789abcdef", reason="ERROR x"),
        "it cannot be said whether the training at commit 0123456789ab differs\n"
        "  where  ERROR x\n"
        "  fix    name another commit, or a test that runs at both: its file is lent to commits that lack it",
    ),
    (
        errors.TreeError.unrelated(good="0123456789abcdef", bad="b"),
        "commits 0123456789ab and b have no common ancestor\n"
        "  fix    name two commits of one history; a shallow clone has little of it: git fetch --unshallow",
    ),
    (
        errors.TreeError.changed_aside(good="a", bad="0123456789abcdef", fork="fedcba9876543210"),
        "commit a is no ancestor of 0123456789ab, and where they parted the training was another, too\n"
        "  where  fedcba9876543210\n"
        "  fix    begin with the older one: harness bisect fedcba987654 0123456789ab",
    ),
    (
        errors.EventsError.missing(path="a/b", looked_for="a folder"),
        "there are no event files in a/b\n"
        "  where  looked for a folder\n"
        "  fix    give the folder that the training writes its TensorBoard events to",
    ),
    (
        errors.EventsError.corrupt(path="a/b", reason="it is cut off"),
        "the event file cannot be read: it is cut off\n  where  a/b\n  fix    remove it, and train again",
    ),
    (
        errors.EventsError.stale(path="a/b", written=0.5, since=3600.0),
        "the event file was left by an earlier run: it is of 1970-01-01 00:00:00.500 UTC, and this one began at "
        "1970-01-01 01:00:00.000 UTC\n"
        "  where  a/b\n"
        "  fix    empty the folder before the training, or log into tmp_path; if the test reads files that are kept on "
        "purpose: check_events(..., old=True)",
    ),
    (
        errors.EventsError.two_writers(tag="loss", first="a/b", second="a/c"),
        "two writers logged loss into one folder at the same time\n"
        "  where  a/b and c\n"
        "  fix    give each writer a folder of its own; where several processes train, let one of them write",
    ),
    (
        errors.EventsError.no_scalar(path="a/b"),
        "the event files hold no scalar to compare\n"
        "  where  a/b\n"
        "  fix    log one (writer.add_scalar('loss', loss, step)), and close the writer before the check (writer.close())",
    ),
    (
        errors.EventsError.unwritten(path="a/b", reason="it is cut off"),
        "the TensorBoard run could not be written: it is cut off\n"
        "  where  a/b\n"
        "  fix    give a folder that can be written to",
    ),
    (
        errors.EventsCutOffError.at(path="a/b", start=30),
        "the event file is cut off: the event that begins at byte 30 is not whole\n"
        "  where  a/b\n"
        "  fix    close the writer before the check (writer.close()), or find out why the training did not end",
    ),
    (
        errors.OutputError.of(path="a/b", reason="it is cut off"),
        "what this session found cannot be kept: it is cut off\n"
        "  where  a/b\n"
        "  fix    see to it that there is room, and that it can be written to, or name another folder: --training-output=DIR",
    ),
    (
        errors.OutputError.history(path="a/b", reason="it is cut off"),
        "the history of margins cannot be kept: it is cut off\n"
        "  where  a/b\n"
        "  fix    name a file in a folder that can be written to: the ini option training_history",
    ),
    (
        errors.ReportError.missing(path="a/b"),
        "there are no results of a session here\n"
        "  where  a/b\n"
        "  fix    run pytest --mpl first, or give a folder that holds its results.json: build/harness, an artifact of CI",
    ),
    (
        errors.ReportError.corrupt(path="a/b", reason="it is cut off"),
        "the results of a session cannot be read: it is cut off\n"
        "  where  a/b\n"
        "  fix    run pytest --mpl again, or fetch the artifact again; a file of another version needs that version",
    ),
    (
        errors.ReportError.not_whole(reason="shards are missing", names=["2/4"]),
        "shards are missing\n"
        "  where  2/4\n"
        "  fix    see to it that every job ran and kept its results, and that its tests check what they own",
    ),
    (
        errors.ReportError.unwritten(path="a/b", reason="it is cut off"),
        "the report could not be written: it is cut off\n"
        "  where  a/b\n"
        "  fix    name another file: harness report --output FILE",
    ),
    (
        errors.NotFoundError.baseline(name="loss", place="model.py:12", near=["a", "b"]),
        "there is no baseline, file or folder 'loss'\n"
        "  where  model.py:12\n"
        "  fix    give a name that `harness list` prints, a test, a file, a folder, or REVISION:PATH; near it are a, b",
    ),
    (
        errors.NotFoundError.several(name="loss", place="baselines", found=["a", "b"]),
        "'loss' is a part of several names, and this takes one\n"
        "  where  baselines\n"
        "  fix    give more of the name: a, b",
    ),
    (
        errors.NotFoundError.nothing(former="a", present="b"),
        "neither holds a baseline, so that nothing was compared\n  where  a and b\n  fix    give two folders of baselines",
    ),
    (
        errors.NotFoundError.kinds(former="a", present="b"),
        "a record and a figure cannot be compared\n  where  a and b\n  fix    give two records, or two figures",
    ),
    (
        errors.NotFoundError.loop(loop="x", place="a/b", near=["train.py:main"]),
        "there is no training loop 'x'\n"
        "  where  a/b\n"
        "  fix    give a script (--loop train.py), or a function or class of a module (--loop mylib.train:main); found are "
        "train.py:main",
    ),
    (
        errors.NotFoundError.no_folder(path="a/b"),
        "there is no such folder\n  where  a/b\n  fix    give a folder that is there",
    ),
    (
        errors.NotFoundError.syntax(path="a/b", reason="line 3"),
        "the training loop cannot be read: line 3\n  where  a/b\n  fix    mend this file",
    ),
    (
        errors.NotFoundError.folder(path="tox.ini", reason="line 3"),
        "the project does not say where its baselines are: line 3\n"
        "  where  tox.ini\n"
        "  fix    mend this file, or give the folder: --baselines DIR",
    ),
    (
        errors.NotFoundError.neither(word="x", root="a/b"),
        "'x' names neither a commit nor a test\n"
        "  where  a/b\n"
        "  fix    give a commit, branch or tag, a path of the project, or a test (tests/test_a.py::test_b)",
    ),
    (
        errors.NotFoundError.ambiguous(word="x"),
        "'x' names a commit and a path\n  fix    write ./x for the path, or the commit's own name",
    ),
    (
        errors.NotFoundError.revision(text="HEAD~9:baselines", place="model.py:12", remedy="log it"),
        "git has nothing under 'HEAD~9:baselines'\n  where  model.py:12\n  fix    log it",
    ),
    (
        errors.SuiteError.not_compared(nodeid="test_a.py::test_b"),
        "this figure was collected but not compared\n"
        "  where  test_a.py::test_b\n"
        "  fix    run pytest with --mpl (CI is set, and a gate that compares nothing must not be green)",
    ),
    (
        errors.SuiteError.not_a_figure(nodeid="test_a.py::test_b", found="x"),
        "the test returned x, not a figure\n  where  test_a.py::test_b\n  fix    end the test with `return figure`",
    ),
    (
        errors.SuiteError.marker_option(nodeid="test_a.py::test_b", option="--reason", known=("cpu", "cuda")),
        "mpl_image_compare has no option '--reason', and pytest-mpl would ignore it\n"
        "  where  test_a.py::test_b\n"
        "  fix    use one of cpu, cuda",
    ),
    (
        errors.SuiteError.shared_baseline(file="a.png", first="a", second="b"),
        "two tests share the baseline file a.png\n"
        "  where  a and b\n"
        "  fix    rename one of them, or give it another filename",
    ),
    (
        errors.SuiteError.swallowed(tests=["test_a.py::test_b", "test_a.py::test_c"]),
        "a check failed, but its test did not\n"
        "  where  test_a.py::test_b, test_a.py::test_c\n"
        "  fix    let the exception of check() end its test: no try around it, no thread, no xfail; skip a test whose training is to differ",
    ),
    (
        errors.SuiteError.rerun(tests=["test_a.py::test_b"]),
        "a check failed, and passed when its test was run again: two trainings of one session differ\n"
        "  where  test_a.py::test_b\n"
        "  fix    find out what differs from run to run, and run the test without retries",
    ),
    (
        errors.SuiteError.nothing_compared(count=3),
        "none of 3 baselines was compared\n"
        "  where  this session\n"
        "  fix    run the tests that own them, on a machine that can (--training-strict)",
    ),
    (
        errors.SuiteError.strictly_generating(),
        "baselines are written, and --training-strict compares\n"
        "  where  the command line\n"
        "  fix    leave one of them out: what is written anew proves nothing",
    ),
    (
        errors.WorkerError.foreign(nodeid="test_a.py::test_b", worker="gpu-3", unlike=["torch 2.11 for 2.12"]),
        "the worker gpu-3 has something else than this session: torch 2.11 for 2.12\n"
        "  where  test_a.py::test_b\n"
        "  fix    have every worker see this checkout as it is now, with the same installation",
    ),
    (
        errors.WorkerError.lost(nodeid="test_a.py::test_b", times=3, output=""),
        "this test was lost with its worker 3 times\n"
        "  where  test_a.py::test_b\n"
        "  fix    run the test alone; the last lines of its last worker were:\n"
        "none: it died itself",
    ),
    (
        errors.WorkerError.absent(nodeid="test_a.py::test_b", worker="gpu-3", reason="E  boom"),
        "the worker gpu-3 finds no such test\n"
        "  where  test_a.py::test_b\n"
        "  fix    collect it there and look; pytest said:\n"
        "E  boom",
    ),
    (
        errors.WorkerError.unable(nodeid="test_a.py::test_b", worker="gpu-3", reason="no space left"),
        "the worker gpu-3 cannot begin this test: no space left\n"
        "  where  test_a.py::test_b\n"
        "  fix    have pytest-training-regression there in the same version, with what the project needs, and room",
    ),
    (
        errors.WorkerError.no_cluster(address="ray://head:10001", reason=ConnectionRefusedError(111, "refused")),
        "the Ray cluster has died: refused\n"
        "  where  --training-on=ray://head:10001\n"
        "  fix    start the cluster, and run the session again: tests that passed are kept, and run no more",
    ),
    (
        errors.SuiteError.no_executor(name="mine:Pool", reason="No module named 'mine'"),
        "'mine:Pool' names nothing to train on: No module named 'mine'\n"
        "  where  --training-on\n"
        "  fix    local:N, ray, ray://HOST:PORT, or module:Class of your own",
    ),
    (
        errors.SuiteError.no_ray(),
        "Ray is not installed\n  where  --training-on=ray\n  fix    pip install 'pytest-training-regression[ray]'",
    ),
    (
        errors.SuiteError.no_cluster(address="ray://head:10001", reason="nobody answers"),
        "Ray cannot be reached: nobody answers\n"
        "  where  --training-on=ray://head:10001\n"
        "  fix    start the cluster, or correct its address; without one, --training-on=ray starts its own here",
    ),
    (
        errors.SuiteError.not_sent(option="-n"),
        "--training-on has tests run elsewhere to compare them, and -n has another use for them\n"
        "  where  the command line\n"
        "  fix    leave one of them out",
    ),
    (
        errors.SuiteError.two_sources(option="--training-verify"),
        "--training-against has another commit make the baselines, and --training-verify is about stored ones\n"
        "  where  the command line\n"
        "  fix    leave one of them out",
    ),
    (
        errors.TreeError.no_end(name="main (9f8e7d2)", output="Killed"),
        "the tests of main (9f8e7d2) came to no end, so nothing can be held against them\n"
        "  fix    run its tests there and look at their output; the last lines were:\nKilled",
    ),
    (
        errors.TreeError.not_run(nodeid="test_a.py::test_b", name="main (9f8e7d2)", reason="no data"),
        "this test made no baseline at main (9f8e7d2): no data\n"
        "  where  test_a.py::test_b\n"
        "  fix    name a commit in which it runs (where CI or --training-strict is set, all must be held against something)",
    ),
    (
        errors.SuiteError.name_taken(name="--training-device", place="conftest.py:2"),
        "--training-device is an option of pytest-training-regression, and of another\n"
        "  where  conftest.py:2\n"
        "  fix    rename it there, or run pytest without the gate: -p no:training_regression",
    ),
    (
        errors.SuiteError.written_elsewhere(
            path="/a/tests/baselines", read="/a/baselines", root="/a", folder="../baselines"
        ),
        "baselines would be written to /a/tests/baselines, and are read from /a/baselines\n"
        "  where  the project's root is /a\n"
        "  fix    from here, --mpl-generate-path=../baselines; if the root is another, run pytest there, or put pytest.ini there",
    ),
    (
        errors.SuiteError.not_against(option="--training-slower"),
        "--training-slower is about what trainings were at another commit, and none is named\n"
        "  where  the command line\n"
        "  fix    add --training-against=REF, or leave --training-slower out",
    ),
    (
        errors.SuiteError.share(value="2"),
        "training_gate_power_min = 2 is no number from 0 to 1\n"
        "  where  the ini file, or the command line's -o\n"
        "  fix    name the share of faults to be caught: 0.95",
    ),
    (
        errors.SuiteError.let_pass(nodeid="test_a.py::test_b", rms=22.571, tolerance=2.0),
        "the figure is RMS 22.57 away (tolerance 2), and pytest-mpl let it pass\n"
        "  where  test_a.py::test_b\n"
        "  fix    have it compared with a picture: no hash library, and a plain test function",
    ),
    (
        errors.SuiteError.tolerance(nodeid="test_a.py::test_b", value=float("inf")),
        "no figure differs by more than a tolerance of inf\n"
        "  where  test_a.py::test_b\n"
        "  fix    give a number of grey levels",
    ),
    (
        errors.SuiteError.unreached(baselines=[f"{i}.json (test_a.py::test_b)" for i in range(12)], why="CI is set"),
        "12 baselines not checked by the tests that own them\n"
        "  where  " + ", ".join(f"{i}.json (test_a.py::test_b)" for i in range(10)) + " and 2 more\n"
        "  fix    check them, skip the test with a reason, or delete the files (CI is set: nothing may be left out silently)",
    ),
    (
        errors.SuiteError.touched(files=["a.json"]),
        "1 baseline written to, or removed, while they were compared\n"
        "  where  a.json\n"
        "  fix    write baselines with --mpl-generate-path or harness accept only",
    ),
    (
        errors.SuiteError.unclaimed(files=["a.json"], folder="baselines", why="CI is set"),
        "1 baseline in baselines that no test claims\n"
        "  where  a.json\n"
        "  fix    delete them, bring their tests back, or git mv them as their tests were renamed (CI is set)",
    ),
    (
        errors.SuiteError.unknown_owners(files=["a.json", "b.png"], folder="baselines", reason="who knows"),
        "2 baselines in baselines whose tests are not known: who knows\n"
        "  where  a.json, b.png\n"
        "  fix    run the whole project; in a job of a matrix, say which part it is: --training-shard=1/4",
    ),
    (
        errors.SuiteError.linked_folder(path="a/b", target="c/d"),
        "baselines would be read through a link to c/d\n"
        "  where  a/b\n"
        "  fix    name the folder that they are in, and commit them there: baselines are plain files of the project",
    ),
    (
        errors.SuiteError.among_results(path="a/b", results="c/d"),
        "baselines would lie in c/d, where this session leaves its results\n"
        "  where  a/b\n"
        "  fix    give each a folder of its own: what is compared with itself never differs",
    ),
    (
        errors.SuiteError.checked_twice(nodeid="test_a.py::test_b", name="loss"),
        "this test checks a second record under the name 'loss'\n"
        "  where  test_a.py::test_b\n"
        "  fix    name it: training_regression.check(record, name='...')",
    ),
    (
        errors.SuiteError.idle_pattern(nodeid="test_a.py::test_b", argument="ignore", pattern="los", near=["loss"]),
        "ignore=['los'] fits no stream of the record\n"
        "  where  test_a.py::test_b\n"
        "  fix    take it out, or name a stream that there is: loss",
    ),
    (
        errors.SuiteError.nothing_judged(nodeid="test_a.py::test_b"),
        "the test ignores all that its training did\n"
        "  where  test_a.py::test_b\n"
        "  fix    name what is no property of the training, and nothing else: ignore=['evaluation/*']",
    ),
    (
        errors.SuiteError.not_generating(option="--reason"),
        "--reason is about baselines that are written, and none are\n"
        "  where  the command line\n"
        "  fix    add --mpl-generate-path=baselines, or leave --reason out",
    ),
    (
        errors.SuiteError.results_always(path="a/b", value="nan"),
        "mpl-results-always = nan means true to pytest-mpl\n  where  a/b\n  fix    remove the line",
    ),
    (
        errors.SuiteError.workers_elsewhere(folder="/elsewhere"),
        "a worker of pytest-xdist in a folder of its own would leave the baselines there\n"
        "  where  /elsewhere\n"
        "  fix    write baselines with workers of this folder: -n auto",
    ),
    (
        errors.SuiteError.remote_baselines(path="a/b"),
        "baselines cannot be read from a/b: records are compared with local files\n"
        "  where  --mpl-baseline-path\n"
        "  fix    check the baselines out beside the tests",
    ),
]


def kinds():
    """All classes of errors, the base among them."""
    return [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.HarnessError)]


@pytest.mark.parametrize(("error", "text"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_says_what_where_and_what_to_do(error, text):
    """The words are the product: they change only together with this list."""
    assert str(error) == text


def test_every_message_is_in_the_list():
    """A new constructor without a tested message fails here."""
    constructors = [
        f"{k.__name__}.{name}" for k in kinds() for name, c in vars(k).items() if isinstance(c, classmethod)
    ]
    tested = re.findall(r"^        errors\.(\w+\.\w+)\(", inspect.getsource(inspect.getmodule(kinds)), re.M)

    assert sorted(tested) == sorted(constructors)


def test_the_tree_in_the_docstring_is_the_tree():
    """The drawing at the top of the module names every class, and nothing else."""
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)

    assert sorted(drawn) == sorted(kind.__name__ for kind in kinds() if kind is not errors.HarnessError)


def test_an_error_keeps_what_where_and_fix_apart():
    """Programs read these, not messages."""
    error = errors.SuiteError.not_a_figure(nodeid="t.py::t", found="int")

    assert (error.what, error.where, error.fix) == (
        "the test returned int, not a figure",
        "t.py::t",
        "end the test with `return figure`",
    )


def test_what_a_system_says_is_cut_to_its_words():
    """Number and path of an OSError stand elsewhere in the message, or say nothing."""
    error = errors.OutputError.of(path="a/b", reason=OSError(28, "No space left on device", "a/b/.c.unfinished"))

    assert error.what == "what this session found cannot be kept: No space left on device"


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda error: type(error).__name__)
def test_an_error_survives_a_process_pool(error):
    """Pickled and back it says the same: trainings run side by side in processes."""
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
