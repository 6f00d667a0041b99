"""Promises of Recipe."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import Recipe, errors, recipes


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epochs", 0, "a whole number of at least 1"),
        ("epochs", True, "a whole number of at least 1"),
        ("train_images", 0, "a whole number of at least 1"),
        ("learning_rate", -0.1, "a finite number above 0"),
        ("learning_rate", float("nan"), "a finite number above 0"),
        ("momentum", 1.0, "a number from 0 up to, not including, 1"),
        ("precision", "float16", "one of float64, float32, bfloat16"),
        ("data", "mnist", "one of synthetic, cifar10"),
        ("clip_norm", 0, "None or a finite number above 0"),
        ("weight_decay", float("inf"), "a finite number of at least 0"),
        ("model", 7, "the name of a model, or a class or function that builds one (not the module itself)"),
        ("resume", 1, "True or False"),
    ],
)
def test_a_field_outside_its_range_is_refused_by_name(field, value, rule):
    """The message names the field, its value and the rule it breaks."""
    with pytest.raises(errors.ArgumentError) as caught:
        Recipe(**{field: value})

    assert str(caught.value) == (
        f"{field} cannot be {value!r}\n  where  Recipe({field}=...)\n  fix    {field} must be {rule}"
    )


def test_nesterov_without_momentum_is_refused():
    """A combination that torch would refuse in the middle of a run is refused at once."""
    with pytest.raises(errors.ArgumentError, match="nesterov must be False when momentum is 0"):
        Recipe(momentum=0.0)


def test_every_field_has_a_rule():
    """No field goes unchecked: a field without a rule would accept anything."""
    from harness.recipe import _RULES

    assert {field.name for field in dataclasses.fields(Recipe)} == set(_RULES)


def test_a_recipe_is_frozen_and_hashable():
    """Equal recipes are one dictionary key; none can be changed."""
    assert {Recipe(): 1}[Recipe()] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 1


@given(seed=st.integers(0, 2**40), width=st.integers(1, 99), rate=st.floats(1e-9, 9))
def test_the_digest_tells_recipes_apart(seed, width, rate):
    """Equal fields give one digest, another seed gives another."""
    recipe = Recipe(seed=seed, width=width, learning_rate=rate)

    assert recipe.digest == Recipe(seed=seed, width=width, learning_rate=rate).digest
    assert recipe.digest != dataclasses.replace(recipe, seed=seed + 1).digest


def test_the_digest_is_the_same_in_another_process():
    """Hash randomisation does not reach the digest."""
    code = "from harness import recipes; print(recipes.cifar_cnn().digest)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == recipes.cifar_cnn().digest


def a_model():
    """Stands for a user's model function."""


def test_a_model_function_is_named_by_module_and_name():
    """The recipe of a user's model carries its place, not its address in memory."""
    recipe = Recipe(model=a_model)

    assert recipe.title.endswith("test_recipe.a_model")
    assert recipe.to_dict()["model"] == recipe.model_name


@pytest.mark.parametrize("recipe", [recipes.cifar_cnn(), recipes.cifar_resnet()])
def test_default_recipes_are_event_dense(recipe):
    """A branch that never runs cannot be judged: every one of design's events happens."""
    assert recipe.epochs >= 3
    assert recipe.train_images % recipe.batch_size
    assert recipe.augmentation
    assert recipe.weight_decay
    assert recipe.warmup_steps
    assert recipe.schedule != "constant"
    assert recipe.clip_norm
    assert recipe.accumulation > 1
    assert recipe.label_smoothing
    assert recipe.ema_decay
    assert recipe.resume


def test_any_callable_has_a_name():
    """A partial with its arguments, a class, an object that is called: each is named, and two partials differ."""
    import functools

    from torch import nn

    def build(width):
        return nn.Linear(width, 10)

    class Builder:
        def __call__(self):
            return nn.Linear(1, 10)

    assert Recipe(model=functools.partial(build, width=3)).model_name.endswith("build(width=3)")
    assert Recipe(model=functools.partial(build, 3)).digest != Recipe(model=functools.partial(build, 4)).digest
    assert Recipe(model=Builder()).model_name.endswith("Builder")
    assert Recipe(model=nn.Identity).model_name == "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(("field", "value"), [("seed", 2**64), ("learning_rate", 10**400)])
def test_numbers_that_torch_cannot_hold_are_refused(field, value):
    """A seed of more than 63 bits, a rate beyond every float."""
    with pytest.raises(errors.ArgumentError, match=f"^{field} cannot be "):
        Recipe(**{field: value})


def test_a_model_instead_of_its_class_is_refused():
    """A built module would be trained twice."""
    from torch import nn

    with pytest.raises(errors.ArgumentError, match="not the module itself"):
        Recipe(model=nn.Linear(1, 1))
