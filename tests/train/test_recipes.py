"""Recipes: which numbers the paper's has, and what stands above and below them."""

from __future__ import annotations

import pytest

from minivgg.errors import ConfigError
from minivgg.train import TrainConfig, config_toml, read_config_file
from minivgg.train.recipes import scaled


def test_the_papers_numbers():
    """Those of §3.1 of the paper, at full size."""
    paper = TrainConfig.of({"recipe": "paper"})
    assert (paper.model, paper.head, paper.init, paper.width, paper.image_size) == ("vgg16", "paper", "paper", 1.0, 224)
    assert (paper.batch_size, paper.accumulate, paper.epochs) == (256, 8, 74)
    assert (paper.lr, paper.fine_lr, paper.momentum, paper.nesterov, paper.form) == (0.01, 0.001, 0.9, False, "paper")
    assert (paper.weight_decay, paper.decay_all, paper.label_smoothing, paper.clip) == (5e-4, True, 0.0, 0.0)
    assert (paper.schedule, paper.factor, paper.drops, paper.warmup) == ("plateau", 0.1, 3, 0.0)
    assert (paper.mirror, paper.shift, paper.colour_shift, paper.normalise) == (True, 0, 0.1, "mean")
    assert (paper.scales, paper.scale) == ("256,384,256-512", "")


def test_small_is_the_default_and_changes_nothing():
    """Named or not, the keys' own defaults hold."""
    assert TrainConfig.of({"recipe": "small"}) == TrainConfig.of() == TrainConfig()


def test_a_recipe_stands_between_the_defaults_and_the_file(tmp_path):
    """Named by a flag, it still gives way to the file, and the file to the flags."""
    path = tmp_path / "c.toml"
    path.write_text("lr = 0.5\nmomentum = 0.8\n")
    config = TrainConfig.of(read_config_file(path), {"recipe": "paper", "momentum": 0.7})
    assert (config.lr, config.momentum, config.init, config.val_split) == (0.5, 0.7, "paper", 0.1)


def test_the_file_may_name_the_recipe_and_a_flag_another(tmp_path):
    """The last one named counts."""
    path = tmp_path / "c.toml"
    path.write_text('recipe = "paper"\n')
    assert TrainConfig.of(read_config_file(path)).init == "paper"
    assert TrainConfig.of(read_config_file(path), {"recipe": "small"}) == TrainConfig()


def test_a_stored_configuration_is_read_back_as_it_was(tmp_path):
    """All keys are in config.toml, so that no recipe gets a word in."""
    for given in ({"lr": 0.3}, {"image_size": 32, "batch_size": 64}, {"scale": "300"}, {"scales": ""}):
        config = TrainConfig.of({"recipe": "paper", **given})
        (tmp_path / "config.toml").write_text(config_toml(config))
        assert TrainConfig.of(read_config_file(tmp_path / "config.toml")) == config


def test_the_miniature_keeps_the_ratios():
    """At 32 pixels: 256 → 36.6, 384 → 54.9, 512 → 73.1; and a step of 64 such images needs no micro-batches."""
    config = TrainConfig.of({"recipe": "paper", "image_size": 32, "batch_size": 64})
    assert (config.scales, config.accumulate) == ("37,55,37-73", 1)
    assert scaled("256,384,256-512", 224) == "256,384,256-512" and scaled("256", 112) == "128"


def test_one_scale_is_one_run():
    """Naming scale, or no scales, leaves the plan for a single run with the recipe's numbers."""
    assert TrainConfig.of({"recipe": "paper", "scale": "300"}).scales == ""
    config = TrainConfig.of({"recipe": "paper", "scales": "", "image_size": 32})
    assert (config.scale, config.scales, config.lr) == ("37", "", 0.01)


@pytest.mark.parametrize("scales", ["256,", "a", "512-256", "256;384", "0"])
def test_impossible_lists_of_scales_are_refused(scales):
    """The message shows what a list looks like."""
    with pytest.raises(ConfigError, match=r'scales must be such as "256" or "256,384,256-512"'):
        TrainConfig(scales=scales)


def test_scale_and_scales_exclude_each_other():
    """One run or a plan: the message has both values."""
    with pytest.raises(ConfigError, match=r'"37" and "37,55"'):
        TrainConfig(scale="37", scales="37,55")


def test_wrong_numbers_get_their_own_message():
    """A recipe that computes with a number leaves the complaint about it to the check of its key."""
    with pytest.raises(ConfigError, match="batch_size must be an integer"):
        TrainConfig.of({"recipe": "paper", "batch_size": "many"})
    with pytest.raises(ConfigError, match="image_size must be an integer"):
        TrainConfig.of({"recipe": "paper", "image_size": 0})
