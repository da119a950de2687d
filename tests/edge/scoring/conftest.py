import pytest
from tiny_grounding_dino import tiny_bert_tokenizer

from edge.model.bundle.manifest import TextSpec
from edge.rules.text import Tokenizer

LENGTH = 24


@pytest.fixture(scope="session")
def spec() -> TextSpec:
    return TextSpec(context_length=LENGTH, pad_id=0, templates=("{}",), background=("road",))


@pytest.fixture(scope="session")
def tokenizer(spec: TextSpec) -> Tokenizer:
    return Tokenizer(tiny_bert_tokenizer(), spec)
