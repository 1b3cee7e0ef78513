"""Configurations: precedence, types, ranges, unknown keys, and config.toml there and back."""

from __future__ import annotations

import dataclasses

import pytest

from minivgg.errors import ConfigError
from minivgg.train import TrainConfig, config_toml, read_config_file


def test_flags_override_the_file_and_the_file_the_defaults(tmp_path):
    """lr in both, epochs only in the file, seed in neither."""
    path = tmp_path / "c.toml"
    path.write_text("lr = 1\nepochs = 3\n")
    config = TrainConfig.of(read_config_file(path), {"lr": 0.5})
    assert (config.lr, config.epochs, config.seed) == (0.5, 3, 0)


def test_integers_will_do_for_floats(tmp_path):
    """lr = 1 is 1.0, so that the run's config.toml is the same either way."""
    assert config_toml(TrainConfig(lr=1)) == config_toml(TrainConfig(lr=1.0))


def test_a_configuration_survives_its_file(tmp_path):
    """Awkward texts and floats: read back, every value is identical."""
    config = TrainConfig(data='C:\\x "ä"\n\t\x7f\x01 ✓', lr=0.1 + 0.2, weight_decay=1e-300, warmup=1 / 3, nesterov=False, seed=2**62)
    path = tmp_path / "config.toml"
    path.write_text(config_toml(config), encoding="utf-8")
    assert TrainConfig.of(read_config_file(path)) == config


def test_warmup_depends_on_the_schedule():
    """A quarter for one-cycle, none for the others, unless it is given."""
    assert TrainConfig().warmup == 0.25
    assert TrainConfig(schedule="cosine").warmup == 0.0
    assert TrainConfig(schedule="cosine", warmup=0.1).warmup == 0.1


WRONG = [
    ("epochs", 0), ("epochs", 2.0), ("epochs", True), ("epochs", "3"), ("lr", 0), ("lr", float("inf")), ("lr", float("nan")),
    ("lr", "fast"), ("lr", False), ("momentum", 1.0), ("nesterov", 1), ("form", "Torch"), ("schedule", "onecycle"), ("warmup", 1.0),
    ("label_smoothing", -0.1), ("val_split", 0.0), ("val_split", 1), ("seed", -1), ("width", -1), ("clip", -1.0), ("factor", 1.0),
    ("patience", 0), ("model", 3), ("workers", -1), ("checkpoint_every", -1), ("shift", -1), ("init", "xavier"), ("head", ""),
    ("data", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_values_are_checked_with_the_key_in_the_message(key, value):
    """Wrong types and values out of range; the message has the key and the value."""
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{key: value})
    assert str(caught.value).startswith(f"{key} must be ") and repr(value) in str(caught.value)


def test_every_key_has_a_help_and_takes_its_own_default():
    """The table is complete."""
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"]
        assert getattr(TrainConfig(), field.name) == field.default or field.name == "warmup"


@pytest.mark.parametrize("make", [lambda: TrainConfig.of({"epoch": 3}), lambda: TrainConfig.of({}, {"batchsize": 3})])
def test_unknown_keys_name_the_nearest(make):
    """epoch → epochs, batchsize → batch_size."""
    with pytest.raises(ConfigError, match=r"did you mean (epochs|batch_size)"):
        make()


def test_bad_files_are_named(tmp_path):
    """Missing, no TOML, no text, unknown key, much too large: ConfigError with the path."""
    path = tmp_path / "c.toml"
    for content, reason in [
        (None, "cannot be read"),
        (b"lr = ", "not valid TOML"),
        (b"\xff", "not valid TOML"),
        (b"epoch = 3", "did you mean epochs"),
        (b"[lr]\na = 1", None),
        (b"#" * 1_000_001, "larger than"),
    ]:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=reason):
            TrainConfig.of(read_config_file(path))


def test_nesterov_needs_momentum():
    """Otherwise it would be silently ignored."""
    with pytest.raises(ConfigError, match="--no-nesterov"):
        TrainConfig(momentum=0.0)
