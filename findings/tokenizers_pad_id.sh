#!/usr/bin/env bash
# tokenizers: enable_padding() pads with id 0, whatever id "[PAD]" has.
#
# Guess: the pad token's id is looked up in the vocabulary.
# Seen:  with "[UNK]" = 0 and "[PAD]" = 5, the row is padded with token text "[PAD]" and id 0,
#        the id of "[UNK]". The two fields of one encoding contradict each other, and the
#        pair (0, "[PAD]") is what a saved tokenizer.json carries on.
# Bears on: reading the pad id out of tokenizer.json, masks computed from ids.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import json
from tokenizers import Tokenizer, models, pre_tokenizers

for name in ("tokenizers",):
    print(name, version(name))

t = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "[PAD]": 5}, unk_token="[UNK]"))
t.pre_tokenizer = pre_tokenizers.Whitespace()
t.enable_padding()
short = t.encode_batch(["a", "a a a"])[0]
print(short.tokens, short.ids)
assert short.tokens == ["a", "[PAD]", "[PAD]"]
assert short.ids == [1, 0, 0]
saved = json.loads(t.to_str())["padding"]
print(saved)
assert (saved["pad_id"], saved["pad_token"]) == (0, "[PAD]")
PY
