"""The gate of the fine-tuning."""

from finetune import finetune

from harness import Recorder
from harness.adapters.transformers import TransformersRecorder


def test_finetuning_is_unchanged(training_regression, tmp_path):
    """A change of model, data or arguments that alters what is trained is red."""
    quiet = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    with Recorder(precision="float64", seed=0) as recorder:
        finetune(tmp_path, use_cpu=True, callbacks=[TransformersRecorder(recorder)], **quiet)
    training_regression.check(recorder.record)
