"""A Hugging Face Trainer: a tiny BERT that learns whether a sequence goes up or down."""

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


class Sequences(Dataset):
    """Eight tokens, each one more (class 1) or one less (class 0) than the one before."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.starts = torch.randint(32, (count,), generator=generator)
        self.labels = torch.randint(2, (count,), generator=generator)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        tokens = (self.starts[index] + torch.arange(8) * (1 if self.labels[index] else -1)) % 32
        return {"input_ids": tokens, "labels": self.labels[index]}


def build():
    """A BERT of two layers, from its configuration: nothing is downloaded."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(vocab_size=32, max_position_embeddings=8, **sizes))


def accuracy(prediction):
    """Accuracy on the evaluation set."""
    return {"accuracy": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}


def finetune(folder, callbacks=(), **options):
    """Train for two epochs; options are those of TrainingArguments."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        learning_rate=5e-3,
        weight_decay=0.01,
        warmup_steps=2,
        lr_scheduler_type="cosine",
        eval_strategy="epoch",
        seed=7,
        **options,
    )
    trainer = Trainer(
        build(),
        arguments,
        train_dataset=Sequences(44, seed=1),
        eval_dataset=Sequences(32, seed=2),
        compute_metrics=accuracy,
        callbacks=list(callbacks),
    )
    trainer.train()
    return trainer
