from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present
from prompts import prompt as rule_of

from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.model.bundle.manifest import TextSpec
from edge.rules.bank import PromptBank, explain
from edge.rules.compiler import compile_bank
from edge.rules.text import TextEncoder
from edge.scoring.margins import margins


def prompt(*text: str, negatives: Sequence[str] = ()) -> PromptConfig:
    return PromptConfig(text=text, negatives=tuple(negatives))


@pytest.fixture
def compile_(encoder: TextEncoder, spec: TextSpec) -> Callable[..., PromptBank]:
    def run(
        prompts: dict[str, PromptConfig],
        background: Sequence[str] = ("empty yard", "empty street"),
        **keywords: str,
    ) -> PromptBank:
        return compile_bank(
            prompts, background, encoder, spec, **{"model_hash": "model"} | keywords
        )

    return run


def naive_row(encoder: TextEncoder, templates: Sequence[str], sentence: str) -> NDArray[np.float64]:
    """Mean over templates of unit vectors, made a unit vector again; double precision, one by one."""
    total = np.zeros(16)
    for template in templates:
        vector = encoder.encode([template.format(sentence)]).embeddings[0].astype(np.float64)
        total += vector / np.sqrt(sum(vector**2))
    mean = total / len(templates)
    return mean / np.sqrt(sum(mean**2))


def test_a_row_is_the_renormalised_mean_over_the_templates(
    compile_: Callable[..., PromptBank], encoder: TextEncoder, spec: TextSpec
) -> None:
    bank = compile_({"dog": prompt("dog", "red dog", negatives=["cat"]), "car": prompt("car")})

    expected = [naive_row(encoder, spec.templates, sentence) for sentence in bank.sentences]
    assert bank.sentences == ("dog", "red dog", "car", "cat", "empty yard", "empty street")
    assert bank.rows.dtype == np.float32
    assert np.abs(bank.rows - expected).max() <= 1e-6
    assert np.abs(np.linalg.norm(bank.rows.astype(np.float64), axis=1) - 1).max() <= 1e-6


def test_without_the_second_normalisation_rows_would_be_short(
    encoder: TextEncoder, spec: TextSpec
) -> None:
    """Negative control: the trap that the test above would catch."""
    rows = encoder.encode([t.format("dog") for t in spec.templates]).embeddings
    assert np.linalg.norm(rows.mean(axis=0)) < 0.95


def test_a_full_stop_and_blanks_around_a_sentence_change_nothing(
    compile_: Callable[..., PromptBank],
) -> None:
    plain, dressed = compile_({"p": prompt("dog")}), compile_({"p": prompt("  dog. ")})
    assert plain.rows.tolist() == dressed.rows.tolist()


def test_braces_in_a_sentence_are_text(compile_: Callable[..., PromptBank]) -> None:
    assert compile_({"p": prompt("dog {}")}).rows.shape == (3, 16)


def test_background_that_means_the_same_as_a_prompt_does_not_count_for_it(
    compile_: Callable[..., PromptBank],
) -> None:
    bank = compile_({"empty": prompt("empty yard"), "dog": prompt("dog")})

    against = {p.name: [bank.sentences[row] for row in p.against] for p in bank.prompts}
    assert against == {"empty": ["empty street"], "dog": ["empty yard", "empty street"]}
    # So the prompt can alert: on its own picture the margin is large.
    picture = bank.rows[:1]
    assert margins(bank, picture @ bank.rows.T).margin[0, 0] > 0.1


def test_a_prompt_with_nothing_to_be_compared_against_is_refused(
    compile_: Callable[..., PromptBank],
) -> None:
    with pytest.raises(ConfigError, match="'empty' has nothing to be compared against"):
        compile_({"dog": prompt("dog"), "empty": prompt("empty yard")}, ["empty yard"])
    assert compile_({"p": prompt("dog", negatives=["cat"])}, []).prompts[0].against.tolist() == [1]


def test_no_prompts_at_all_are_refused(compile_: Callable[..., PromptBank]) -> None:
    with pytest.raises(ConfigError, match="at least one prompt"):
        compile_({})


def test_an_overlong_sentence_names_its_prompt_and_both_numbers(
    compile_: Callable[..., PromptBank],
) -> None:
    with pytest.raises(
        ConfigError, match=r"prompt 'long': expected at most 12 tokens, found \d+ in 'a photo of"
    ):
        compile_({"dog": prompt("dog"), "long": prompt("dog " * 9)})
    with pytest.raises(ConfigError, match="negatives of prompt 'n': expected at most 12"):
        compile_({"n": prompt("dog", negatives=["dog " * 9])})


@pytest.mark.parametrize("blank", ["", " ", ".", " . "])
def test_a_blank_sentence_names_its_prompt_though_the_templates_have_words(
    compile_: Callable[..., PromptBank], blank: str
) -> None:
    with pytest.raises(ConfigError, match="prompt 'p': expected a sentence, found"):
        compile_({"p": PromptConfig.model_construct(text=(blank,), negatives=())})


def test_a_negation_that_no_absence_covers_is_refused_with_advice(
    compile_: Callable[..., PromptBank],
) -> None:
    with pytest.raises(
        ConfigError, match=r"prompt 'p': .*found 'without' in 'person without helmet'"
    ):
        compile_({"p": prompt("person without helmet")})


def test_a_sentence_with_time_in_it_is_compiled_clause_by_clause(
    compile_: Callable[..., PromptBank],
) -> None:
    bank = compile_(
        {"p": prompt("a dog climbs then a cat climbs", negatives=["car"]), "q": prompt("dog")}
    )
    assert bank.names == ("p#1", "p#2", "q")
    assert [bank.sentences[p.texts] for p in bank.prompts] == [
        ("a dog climbs",),
        ("a cat climbs",),
        ("dog",),
    ]
    assert [bank.sentences[p.negatives] for p in bank.prompts] == [("car",), ("car",), ()]
    with pytest.raises(
        ConfigError, match="expected one sentence where there is time in it, found 2"
    ):
        compile_({"p": prompt("a dog climbs then a cat climbs", "red car")})


def test_ordinary_sentences_need_no_notes(compile_: Callable[..., PromptBank]) -> None:
    assert compile_({"p": prompt("a person climbs the fence", "a dog")}).notes == ()


def test_a_negative_that_the_model_cannot_tell_from_the_text_is_noted(
    compile_: Callable[..., PromptBank],
) -> None:
    bank = compile_({"p": prompt("red car", negatives=["the red car", "dog"])})
    (note,) = bank.notes
    assert str(note).startswith(
        "prompt 'p': the model hardly tells its negative 'the red car' from"
    )


def test_the_worst_text_decides_a_prompts_coverage_and_poor_coverage_is_noted(
    encoder_of: Callable[..., TextEncoder], spec: TextSpec
) -> None:
    encoder, spec = encoder_of(coverage=True), spec.model_copy(update={"coverage_warning": 0.6})
    axes = [f"axis{number}" for number in range(16)]
    prompts = {
        "known": prompt("red car"),
        "odd": prompt("red car", "zeppelin gondola", negatives=["dog"]),
    }

    bank = compile_bank(prompts, ["empty yard"], encoder, spec, model_hash="m", axes=axes)

    def coverage(sentence: str) -> float:
        filled = [template.format(sentence) for template in spec.templates]
        return float(present(encoder.encode(filled).coverage).mean())

    known, odd = (p.coverage for p in bank.prompts)
    assert (known, odd) == pytest.approx((coverage("red car"), coverage("zeppelin gondola")))
    (note,) = bank.notes
    nearest = [axis for row in bank.rows[1:3] for axis, _ in explain(row, axes, top=3)]
    assert str(note) == (
        f"prompt 'odd': poorly covered ({odd:.2f} < 0.60); "
        f"nearest concepts: {', '.join(dict.fromkeys(nearest))}"
    )


def test_the_hash_changes_with_every_sentence_and_with_the_model_and_with_nothing_else(
    compile_: Callable[..., PromptBank],
) -> None:
    base = {"a": prompt("dog", negatives=["cat"]), "b": prompt("car")}
    banks = [
        compile_(base),
        compile_(base, model_hash="other"),
        compile_(base, ["empty yard"]),
        compile_(base | {"b": prompt("red car")}),
        compile_(base | {"a": prompt("dog", "cat")}),
        compile_({"a": base["a"], "c": base["b"]}),
    ]
    assert len({bank.hash for bank in banks}) == len(banks)
    louder = {name: p.model_copy(update={"threshold": 0.5}) for name, p in base.items()}
    assert compile_(louder).hash == compile_(base).hash


SHARPENED: dict[str, Any] = {
    "texts": (0.75, 0.25),
    "templates": (0.5, 0.5, 0),
    "negatives": (1,),
    "threshold": 0.1,
    "hysteresis": 0.05,
}


def sharpened(**changes: tuple[Any, ...]) -> PromptConfig:
    weights = SHARPENED | changes
    return rule_of(text=("dog", "cat"), negatives=("car",), sharpened=weights)


def test_a_sharpened_rules_sentences_become_one_row_by_their_weights(
    compile_: Callable[..., PromptBank], encoder: TextEncoder, spec: TextSpec
) -> None:
    bank = compile_({"pet": sharpened(), "tree": prompt("tree")})
    assert bank.sentences == ("dog", "tree", "car", "empty yard", "empty street")
    mean = np.zeros(16)
    for sentence, weight in (("dog", 0.75), ("cat", 0.25)):
        for template, share in zip(spec.templates, (0.5, 0.5, 0), strict=True):
            vector = encoder.encode([template.format(sentence)]).embeddings[0].astype(np.float64)
            mean += weight * share * vector
    assert np.abs(bank.rows[0] - mean / np.linalg.norm(mean)).max() <= 1e-6
    pet, tree = bank.prompts
    assert [bank.sentences[row] for row in pet.against] == ["car", "empty yard", "empty street"]
    assert (pet.texts, tree.texts) == (slice(0, 1), slice(1, 2))


def test_taken_out_the_bank_is_byte_for_byte_as_before(compile_: Callable[..., PromptBank]) -> None:
    plain = prompt("dog", "cat", negatives=["car"])
    before = compile_({"pet": plain})
    with_it = compile_({"pet": sharpened()})
    after = compile_({"pet": sharpened().model_copy(update={"sharpened": None})})
    assert with_it.hash != before.hash
    assert with_it.rows.tobytes() != before.rows.tobytes()
    assert after.hash == before.hash
    assert after.rows.tobytes() == before.rows.tobytes()


def test_a_threshold_alone_leaves_the_bank_as_it_is(compile_: Callable[..., PromptBank]) -> None:
    moved = rule_of(
        text=("dog", "cat"), negatives=("car",), sharpened={"threshold": 0.1, "hysteresis": 0}
    )
    before = compile_({"pet": prompt("dog", "cat", negatives=["car"])})
    assert compile_({"pet": moved}).hash == before.hash


def test_weights_of_another_bundle_and_of_a_sentence_with_time_are_refused(
    compile_: Callable[..., PromptBank],
) -> None:
    with pytest.raises(ConfigError, match=r"each of the bundle's 3 templates, found 1: .* again"):
        compile_({"pet": sharpened(templates=(1,))})
    weights = {"texts": (1,), "templates": (1, 0, 0), "threshold": 0, "hysteresis": 0}
    with pytest.raises(ConfigError, match="expected one clause where there are weights"):
        compile_({"pet": rule_of(text="dog then cat", sharpened=weights)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"texts": (1,)}, "for each of 2 text, found 1; the sentences changed since"),
        ({"negatives": ()}, "for each of 1 negatives, found 0"),
        ({"texts": (0.9, 0.3)}, "weights that add up to 1, found a sum of 1.2"),
        ({"texts": (1.5, -0.5)}, "less than or equal to 1"),
        ({"templates": ()}, "weights of texts and templates together"),
    ],
)
def test_weights_that_do_not_fit_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sharpened(**changes)
