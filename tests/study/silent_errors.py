"""The public silent training errors that TrainCheck reproduces: what each is, and what the harness has to say of it.

TrainCheck is Jiang et al., Training with Confidence: Catching Silent Errors in Deep Learning Training with Automated
Proactive Checks, OSDI 2025; the ids are its own. The programs are ours, and small. To print the table of the README:
`python -m tests.study.silent_errors`.
"""

import functools
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass

from harness import Comparison, Record, Recorder, compare, errors
from tests.study import silent_programs as programs


Place = tuple[int, str, str]
"""Step, stage and stream."""


@dataclass(frozen=True)
class SilentError:
    """A public error, and a program that has it.

    Args:
        id: TrainCheck's; it may have several programs.
        what: the error, in words.
        source: where it was reported, and what is our own in it.
        program: the training: takes a recorder, and whether it is to have the error.
        first: what the error changes first; None if the recorder takes no record of it.
        named: what is named instead today; None if that is right.
        why: what hides the first change.
        refusal: what the recorder says instead of taking a record.
        precision: of the recorder.
        forks: whether it starts processes by fork, which not every system has.
    """

    id: str
    what: str
    source: str
    program: Callable[[Recorder, bool], None]
    first: Place | None
    named: Place | None = None
    why: str = ""
    refusal: str = ""
    precision: str = "float64"
    forks: bool = False

    @property
    def name(self) -> str:
        """The program's name, which no other error has."""
        return self.program.__name__

    @property
    def runs_here(self) -> bool:
        """Whether the system has what the program needs."""
        return not self.forks or "fork" in multiprocessing.get_all_start_methods()

    def record(self, *, faulty: bool, precision: str = "") -> Record:
        """Run the program, sound or faulty."""
        with Recorder(precision=precision or self.precision, name=self.name) as recorder:
            self.program(recorder, faulty)
        return recorder.record


@functools.cache
def sound(error: SilentError) -> Record:
    """Return the record of the sound program."""
    return error.record(faulty=False)


@functools.cache
def compared(error: SilentError) -> Comparison:
    """Hold the faulty program against the sound one.

    Raises:
        RecorderError: the recorder refuses the faulty one.
    """
    return compare(sound(error), error.record(faulty=True))


SILENT_ERRORS = (
    SilentError(
        "mmpretrain-702",
        "frozen stages that only `train()` freezes are never frozen",
        "open-mmlab/mmpretrain, issue 702",
        programs.frozen_stages_skipped,
        (0, "structure", "0.stages.0.0.weight"),
    ),
    SilentError(
        "mmpretrain-702",
        "a frozen stage is undone after an evaluation",
        "open-mmlab/mmpretrain, issue 702; here it is undone later",
        programs.frozen_stages_undone,
        (2, "forward", "mode/the model"),
    ),
    SilentError(
        "pytorch-forum-84911",
        "the head is frozen, too, and only BatchNorm is left to move",
        "PyTorch's forum, topic 84911",
        programs.head_frozen,
        (0, "structure", "3.weight"),
    ),
    SilentError(
        "pytorch-forum-84911",
        "BatchNorm's statistics move in a frozen backbone",
        "PyTorch's forum, topic 84911; here the head trains",
        programs.statistics_move,
        (0, "forward", "mode/the model"),
    ),
    SilentError(
        "AC-2665",
        "the optimizer holds the parameters from before the model was wrapped",
        "huggingface/accelerate, issue 2665",
        programs.old_parameters,
        None,
        refusal="the optimizer holds no parameter of the model",
    ),
    SilentError(
        "AC-2665",
        "the optimizer holds the head from before it was replaced",
        "huggingface/accelerate, issue 2665; here of the head alone",
        programs.old_head,
        (0, "structure", "2.weight"),
    ),
    SilentError(
        "AC-2665",
        "the model is wrapped in the middle of a training, the optimizer stays as it was",
        "huggingface/accelerate, issue 2665; here the model is watched already",
        programs.old_parameters_later,
        (2, "update", "update/0.weight"),
        named=(2, "schedule", "learning_rate/0.weight"),
        why="a group without a tensor of the model loses its name, and its rate is missing",
    ),
    SilentError(
        "stackoverflow-67180955",
        "two workers of a loader draw the same numbers from NumPy",
        "Stack Overflow, question 67180955; pytorch/pytorch, pull request 56488",
        programs.equal_draws,
        (1, "data", "batch/images"),
        forks=True,
    ),
    SilentError(
        "transformers-34204",
        "a processor merges the samples of a batch into one",
        "huggingface/transformers, issue 34204",
        programs.merged_samples,
        (0, "data", "batch/size"),
    ),
    SilentError(
        "transformers-34204",
        "a reshape inside the model mixes the samples of a batch",
        "huggingface/transformers, issue 34204; here inside the model",
        programs.mixed_samples,
        (0, "forward", "output/recurrent"),
    ),
    SilentError(
        "transformers-17877",
        "loaded weights are initialised again",
        "huggingface/transformers, pull request 17877",
        programs.initialised_again,
        (0, "init", "init/layers.0.weight"),
    ),
    SilentError(
        "transformers-17877",
        "loaded weights are initialised again, before the data are drawn from the same generator",
        "huggingface/transformers, pull request 17877",
        programs.initialised_again_before_data,
        (0, "init", "init/layers.0.weight"),
    ),
    SilentError(
        "pytorch-51800",
        "spectral_norm is evaluated before its first training pass",
        "pytorch/pytorch, issue 51800",
        programs.evaluated_early,
        (0, "init", "init/0.weight_u"),
        named=(0, "forward", "output/0"),
        why="vectors u and v start elsewhere, but a record keeps norms, and theirs are 1",
    ),
    SilentError(
        "lightning-thunder-725",
        "autocast leaves out a layer",
        "Lightning-AI/lightning-thunder, issue 725",
        programs.autocast_scope,
        (0, "forward", "output/body"),
        precision="float32",
    ),
    SilentError(
        "stackoverflow-60335387",
        "`zero_grad` is missing",
        "Stack Overflow, question 60335387",
        programs.zero_grad_missing,
        (1, "backward", "gradient/0.weight"),
    ),
    SilentError(
        "pytorch-84803, pytorch-96600",
        "the last 1 % of the gradients that two ranks exchange arrive as zeros",
        "pytorch/pytorch, issues 84803 and 96600",
        programs.gradients_lost,
        (0, "backward", "gradient/rank0.2.weight"),
    ),
    SilentError(
        "pytorch-115607",
        "a captured optimizer step freezes parameters that had no gradient once",
        "pytorch/pytorch, issue 115607",
        programs.captured_step,
        (2, "update", "update/0.weight"),
    ),
    SilentError(
        "transformers-33844",
        "attention drops in evaluation, too",
        "huggingface/transformers, pull request 33844",
        programs.dropout_in_evaluation,
        (1, "evaluation", "evaluation_output/head"),
    ),
)


def table() -> str:
    """Run all programs, and return one line each of what was found, and why where that is not the first change."""
    rows = [[error.id, error.what, *_findings(error)] for error in SILENT_ERRORS]
    lines = [["id", "error", "first divergence", "caught"], ["---"] * 4, *rows]
    notes = [
        f"- {error.id}, {error.named[1]} for {error.first[1]}: {error.why}." for error in SILENT_ERRORS if error.why
    ]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *notes])


def _findings(error: SilentError) -> tuple[str, str]:
    """Return what is named first, and whether that is a catch."""
    if not error.runs_here:
        return "-", "not run: this system has no fork"
    try:
        comparison = compared(error)
    except errors.RecorderError as refusal:
        return f"refused: {refusal.what}", "yes"
    place = comparison.first_divergence
    if comparison.verdict != "different" or place is None:
        return "none", "no"
    right = place == error.first or error.first is None
    return _said(place, error.precision), "yes" if right else f"yes, but it is {error.first[1]}"


def _said(place: Place, precision: str) -> str:
    step, stage, stream = place
    return f"{'' if precision == 'float64' else f'{precision}: '}step {step}, {stage}, {stream}"


if __name__ == "__main__":
    print(table())
