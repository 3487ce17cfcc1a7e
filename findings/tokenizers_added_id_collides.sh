#!/usr/bin/env bash
# tokenizers: a token that is added can get the id of another token.
#
# Guess: add_tokens gives new tokens ids that are free: the highest id + 1 onwards.
# Seen:  ids are counted on from the number of tokens. In a vocabulary with a gap (ids 0, 1, 5)
#        three added tokens get 3, 4 and 5; "b" and "third" then share id 5, and
#        decoding the id of "b" gives "third".
# Bears on: vocabularies pruned without renumbering, and item ids added as tokens.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers

for name in ("tokenizers",):
    print(name, version(name))

t = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 5}, unk_token="[UNK]"))
t.pre_tokenizer = pre_tokenizers.Whitespace()
print("vocabulary size", t.get_vocab_size(), "added", t.add_tokens(["first", "second", "third"]))
ids = {token: t.token_to_id(token) for token in ("a", "b", "first", "second", "third")}
print(ids, "decoded:", t.decode(t.encode("a b").ids))
assert ids == {"a": 1, "b": 5, "first": 3, "second": 4, "third": 5}
assert t.encode("b third").ids == [5, 5]
assert t.decode(t.encode("a b").ids) == "a third"
PY
