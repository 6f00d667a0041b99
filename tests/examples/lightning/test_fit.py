"""The gate of the LightningModule."""

from lit_stripes import fit

from harness import Recorder
from harness.adapters.lightning import LightningRecorder


def test_fit_is_unchanged(training_regression):
    """A change of module, data or Trainer that alters what is trained is red."""
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with Recorder(precision="float64", seed=0) as recorder:
        fit(accelerator="cpu", precision="64-true", callbacks=[LightningRecorder(recorder)], **quiet)
    training_regression.check(recorder.record)
