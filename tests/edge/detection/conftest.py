import pytest

from edge.manifest import TextSpec
from edge.text import Tokenizer
from export.families.grounding_dino_testing import tiny_bert_tokenizer

LENGTH = 24


@pytest.fixture(scope="session")
def spec() -> TextSpec:
    return TextSpec(context_length=LENGTH, pad_id=0, templates=("{}",), background=("road",))


@pytest.fixture(scope="session")
def tokenizer(spec: TextSpec) -> Tokenizer:
    return Tokenizer(tiny_bert_tokenizer(), spec)
