#!/usr/bin/env bash
# tokenizers: a limit below the number of special tokens switches truncation off.
#
# Guess: a limit of 1 with [CLS] and [SEP] to place is refused, or gives at most those two.
# Seen:  limit 3 gives 3 tokens, limit 2 gives [CLS] [SEP]; limits 1 and 0 give the
#        whole text with both specials: 6 tokens, nothing in `overflowing`, no error.
# Bears on: limits computed as "length minus something", and limits taken from a file.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers, processors

for name in ("tokenizers",):
    print(name, version(name))

t = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4}, unk_token="[UNK]"))
t.pre_tokenizer = pre_tokenizers.Whitespace()
t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
length = {}
for limit in (4, 3, 2, 1, 0):
    t.enable_truncation(limit)
    e = t.encode("a b a b")
    length[limit] = len(e)
    print(limit, e.tokens, len(e.overflowing))
assert length == {4: 4, 3: 3, 2: 2, 1: 6, 0: 6}
PY
