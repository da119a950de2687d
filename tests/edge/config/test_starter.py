"""The names of rules, made of their sentences."""

from edge.config.starter import rule_names


def test_names_are_short_words_of_the_sentence() -> None:
    assert rule_names(["a taxi", "A man with  a red hat!", "the taxi", "taxi", "사람"]) == {
        "taxi": "a taxi",
        "man-with-a-red-hat": "A man with  a red hat!",
        "taxi-2": "the taxi",
        "taxi-3": "taxi",
        "prompt": "사람",
    }
