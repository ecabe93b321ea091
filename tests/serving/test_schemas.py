from features.touchpoints import TOUCHPOINT_TYPES
from serving.schemas import History, ScoreRequest, Touchpoint


def test_a_touchpoint_has_the_columns_of_the_contract() -> None:
    assert set(Touchpoint.__struct_fields__) == set(TOUCHPOINT_TYPES)


def test_only_what_the_contract_requires_is_required() -> None:
    optional = len(Touchpoint.__struct_defaults__)
    assert Touchpoint.__struct_fields__[:-optional] == ("occurred_at", "channel", "action")
    assert History.__struct_defaults__ == ()
    assert (ScoreRequest.__struct_fields__, ScoreRequest.__struct_defaults__) == (
        ("customers", "as_of", "reasons"),
        (None, False),
    )
