#!/usr/bin/env bash
# tokenizers: an added token is found inside longer words, before any splitting.
#
# Guess: with a whitespace splitter, adding "item_1" affects the word "item_1" alone.
# Seen:  the known word "item_12" turns into "item_1" + [UNK]: added tokens are cut out of the raw
#        text first, unless they are AddedToken(..., single_word=True).
# Bears on: item ids as tokens, where one id is the beginning of another.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

for name in ("tokenizers",):
    print(name, version(name))

def words(added):
    t = Tokenizer(models.WordLevel({"[UNK]": 0, "item_12": 1, "x": 2}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.add_tokens(added)
    return t.encode("x item_12 item_1").tokens

plain, single = words(["item_1"]), words([AddedToken("item_1", single_word=True)])
print("before", words([]))
print("plain ", plain)
print("single", single)
assert words([]) == ["x", "item_12", "[UNK]"]
assert plain == ["x", "item_1", "[UNK]", "item_1"]
assert single == ["x", "item_12", "item_1"]
PY
