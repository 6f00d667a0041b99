"""Programs in the shapes in which people write trainings, what the gate adds to each, and faults that it must name.

A program is run as `runpy.run_path` does it, with the recorder among its globals. The lines that are there for the
harness end in `# harness`; without them it is the program that was there before.
"""

import contextlib
import importlib.util
import io
import runpy
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from harness import Record, Recorder


MARK = "  # harness\n"
ARGUMENTS = {"script": ["--steps", "10"]}
NEEDED = {"with_fabric": "lightning", "with_accelerate": "accelerate"}
"""The package that a program imports and that not everybody has."""


class Fault(NamedTuple):
    """An edit of a program, and the step, the stage and the stream in which the runs part."""

    right: str
    wrong: str
    place: tuple[int, str, str]


PROGRAMS = {
    "trainer": [
        Fault("shuffle=True", "shuffle=False", (0, "data", "loader/0/sampler")),
        Fault("        self.model.train()\n", "", (3, "forward", "mode/the model")),
        Fault("gamma=0.1", "gamma=0.11", (6, "schedule", "learning_rate/conv.weight")),
    ],
    "script": [
        Fault("(step + 1) / args.warmup", "step / args.warmup", (0, "schedule", "learning_rate/embed.weight")),
        Fault("data[i + 1 : i + args.block + 1]", "data[i : i + args.block]", (0, "data", "batch/labels")),
        Fault("        optimizer.zero_grad()\n", "", (1, "backward", "gradient/embed.weight")),
    ],
    "gan": [
        Fault("bce(discriminator(real), 0.9)", "bce(discriminator(real), 1.0)", (0, "forward", "discriminator")),
        Fault("    discriminator_optimizer.zero_grad()\n", "", (1, "backward", "gradient/discriminator.0.weight")),
        Fault("lr=2e-3, betas=(0.5,", "lr=2e-3, betas=(0.9,", (0, "schedule", "setting/generator.0.weight/betas")),
    ],
    "ema": [
        Fault("decay=0.9", "decay=0.99", (0, "state", "weight/model2.0.weight")),
        Fault("average.copy_(buffer)", "pass", (0, "state", "buffer/model2.1.running_mean")),
        Fault("- self.decay)", "- self.decay**2)", (0, "state", "weight/model2.0.weight")),
    ],
    "mixup": [
        Fault("labels[order], lam", "labels, lam", (0, "data", "batch/labels[1] order")),
        Fault("loss + (1 - lam) *", "loss + lam *", (0, "forward", "loss")),
        Fault('"weight_decay": 0.0}', '"weight_decay": 0.05}', (0, "schedule", "setting/0.bias/weight_decay")),
    ],
    "scaler": [
        Fault("                scaler.unscale_(optimizer)\n", "", (0, "backward", "gradient/0.weight")),
        Fault("(i + 1) % ACCUMULATE", "i % ACCUMULATE", (0, "data", "batches of the step")),
        Fault(", nesterov=True", "", (0, "schedule", "setting/0.weight/nesterov")),
    ],
    "workers": [
        Fault("np.random.seed(seed)", "np.random.seed(0)", (0, "data", "batch/images")),
        Fault("shuffle=True", "shuffle=False", (0, "data", "loader/0/sampler")),
        Fault("images / 255", "images / 256", (0, "forward", "output/0")),
    ],
    "detection": [
        Fault("= label + 1", "= label", (0, "forward", "class")),
        Fault("* CELL + CELL / 2", "* CELL", (0, "forward", "box")),
        Fault("(classes > 0)[:, None]", "(classes >= 0)[:, None]", (0, "forward", "box")),
    ],
    "diffusion": [
        Fault("torch.randint(0, T,", "torch.randint(1, T,", (0, "data", "batch/labels")),
        Fault("model(noisy, t), noise)", "model(noisy, t), clean)", (0, "forward", "loss")),
        Fault("if t > 0:", "if t > 1:", (9, "evaluation", "evaluation/spread")),
    ],
    "ppo": [
        Fault("last[None]]", "values[-1:]]", (0, "data", "batch/images[1] order")),
        Fault("clipped * advantages", "ratio * advantages", (3, "forward", "policy")),
        Fault(", eps=1e-5", "", (0, "schedule", "setting/actor.0.weight/eps")),
    ],
    "lora": [
        Fault("self.scale * F.linear", "F.linear", (0, "backward", "gradient/blocks.0.q.b")),
        Fault("    model.requires_grad_(False)\n", "", (0, "structure", "tokens.weight")),
        Fault("is_causal=True", "is_causal=False", (0, "forward", "output/blocks.0.o")),
    ],
    "graph": [
        Fault("edges.flip(0)", "edges", (0, "data", "batch/images[1]")),
        Fault("out[train_mask], y[train_mask]", "out, y", (0, "forward", "loss")),
        Fault("        model.train()\n", "", (1, "forward", "mode/the model")),
    ],
    "with_fabric": [
        Fault("max_norm=0.5", "max_norm=0.51", (0, "backward", "gradient/_forward_module.0.weight")),
        Fault("total_steps=10", "total_steps=11", (1, "schedule", "learning_rate/_forward_module.0.weight")),
        Fault("            optimizer.zero_grad()\n", "", (1, "backward", "gradient/_forward_module.0.weight")),
    ],
    "with_accelerate": [
        Fault("accumulation_steps=2", "accumulation_steps=3", (0, "data", "batches of the step")),
        Fault(
            "if accelerator.sync_gradients", "if not accelerator.sync_gradients", (0, "backward", "gradient/0.weight")
        ),
        Fault("                scheduler.step()\n", "", (1, "schedule", "learning_rate/0.weight")),
    ],
}
"""Name of each program to its faults.
"""


def can_run(name: str) -> bool:
    """Tell whether what a program imports is installed."""
    return importlib.util.find_spec(NEEDED.get(name, "torch")) is not None


def text(name: str) -> str:
    """Return the text of a program."""
    return (Path(__file__).parent / f"{name}.py").read_text()


def added(program: str) -> list[str]:
    """Return the lines of a program's text that are there for the harness."""
    return [line for line in program.splitlines(keepends=True) if line.endswith(MARK)]


def without(program: str) -> str:
    """Return a program's text without the lines that are there for the harness."""
    return "".join(line for line in program.splitlines(keepends=True) if not line.endswith(MARK))


def edited(name: str, fault: Fault) -> str:
    """Return the text of a program with a fault in it."""
    program = text(name)
    assert program.count(fault.right) == 1, f"{name}: {fault.right!r} is there {program.count(fault.right)} times"
    return program.replace(fault.right, fault.wrong)


def run(name: str, program: str, **given: object) -> None:
    """Run a program as the main one, silently.

    Args:
        name: of the program, which says what arguments it is given.
        program: its text.
        **given: what is among its globals when it starts.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, f"{name}.py")
        path.write_text(program)
        arguments = mock.patch.object(sys, "argv", [str(path), *ARGUMENTS.get(name, [])])
        with arguments, contextlib.suppress(SystemExit):  # a script may end in sys.exit()
            runpy.run_path(str(path), init_globals=given, run_name="__main__")


def record(name: str, program: str) -> Record:
    """Return the record of a program's text."""
    with Recorder(precision="float64", seed=0, name=name) as recorder:
        run(name, program, recorder=recorder)
    return recorder.record
