#!/usr/bin/env bash
# tokenizers: a trained vocabulary can be larger than vocab_size.
#
# Guess: vocab_size is an upper bound; where it can't be met, training refuses.
# Seen:  every character of the corpus is kept first: BPE with vocab_size=10 gives 26 tokens.
#        Only limit_alphabet bounds them.
# Bears on: a table of embeddings sized by the configured number.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

for name in ("tokenizers",):
    print(name, version(name))

def size(**options):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=10, show_progress=False, **options)
    t.train_from_iterator(["the quick brown fox jumps over the lazy dog"], trainer)
    return t.get_vocab_size()

plain, bounded = size(), size(limit_alphabet=8)
print("vocab_size=10:", plain, " with limit_alphabet=8:", bounded)
assert plain == 26
assert bounded == 10
PY
