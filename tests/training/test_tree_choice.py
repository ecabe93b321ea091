"""What is chosen of the trees stands in the place of what they hold; the rest stays."""

from training.settings import Settings, load_settings
from training.tree_choice import TreeChoice, TreeChoices

FIXED = {"objective": "binary", "num_leaves": 5, "lambda_l2": 20.0, "learning_rate": 0.05}


def test_what_is_chosen_replaces_and_what_is_not_stays() -> None:
    assert TreeChoice(num_leaves=9, lambda_l2=0.0).over(FIXED) == {**FIXED, "num_leaves": 9, "lambda_l2": 0.0}
    assert TreeChoice().over(FIXED) == FIXED
    assert TreeChoice(feature_fraction=0.3).over(FIXED) == {**FIXED, "feature_fraction": 0.3}


def test_a_configuration_chooses_for_each_model(tmp_path) -> None:
    file = tmp_path / "found.toml"
    file.write_text("[conversion_trees]\nnum_leaves = 9\nlambda_l2 = 3.5\n")
    settings = load_settings(file, {"stage_trees.learning_rate": 0.2})
    assert settings.trees == TreeChoices(TreeChoice(learning_rate=0.2), TreeChoice(num_leaves=9, lambda_l2=3.5))
    assert Settings().trees == TreeChoices()
    assert load_settings(None, {"stage_trees.learning_rate": 0.2}).about()["stage_trees"] == {"learning_rate": 0.2}
