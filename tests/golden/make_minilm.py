"""Makes minilm.json: sentence embeddings of the original checkpoint, by transformers.

::

    pip install torch==2.13.0 transformers==5.23.0
    python make_minilm.py DIRECTORY_OF_THE_MODEL > minilm.json

As the model card says: mean over the tokens that the mask keeps, unit length. The sentences differ
in length, so all but one are padded.
"""

import json
import sys

import torch
import transformers

SENTENCES = (
    "a person climbs the fence",
    "smoke",
    "a car in a parking lot",
    "an empty scene with nothing in it",
    "Someone leaves a package on the doorstep, looks around, and walks away without ringing.",
    "two dogs are fighting",
    "ein Mann mit einem Fahrrad",
    "a red car",
    "forklift!?",
    "naïve façade 日本 42",
)


def main(checkpoint: str) -> None:
    tokenizer = transformers.BertTokenizerFast(tokenizer_file=f"{checkpoint}/tokenizer.json")
    network = transformers.BertModel.from_pretrained(checkpoint, attn_implementation="eager")
    network.eval().double()
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        tokens = network(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    unit = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1))
    document = {
        "made_with": (
            f"make_minilm.py, transformers {transformers.__version__}, torch {torch.__version__}, "
            "float64"
        ),
        "sentences": SENTENCES,
        "input_ids": [
            ids[keep].tolist()
            for ids, keep in zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)
        ],
        "every_eighth": [[round(value, 7) for value in row] for row in unit[:, ::8].tolist()],
        "cosines": [[round(value, 7) for value in row] for row in (unit @ unit.T).tolist()],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    print(text.replace("],[", "],\n["))


if __name__ == "__main__":
    main(sys.argv[1])
