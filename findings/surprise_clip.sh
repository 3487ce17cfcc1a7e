#!/usr/bin/env bash
# surprise: ratings from 0 to 10 are accepted, and predictions end at 5.
#
# Guess: the scale is taken from the data, or a rating outside it is refused.
# Seen:  Reader() means 1 to 5. Ratings of 10 load and train without a word; every prediction is cut to
#        [1, 5], and high items tie at exactly 5.0. With clip=False they are 8.1 and 8.7.
# Bears on: ratings of other scales, rankings by predicted rating.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  scikit-surprise==1.1.5 pandas==3.1.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import pandas as pd
from surprise import BaselineOnly, Dataset, Reader

for name in ("scikit-surprise", "pandas", "numpy"):
    print(name, version(name))

rows = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 2], "rating": [6.0, 10, 7, 10, 9]})
model = BaselineOnly(verbose=False).fit(Dataset.load_from_df(rows, Reader()).build_full_trainset())
cut = [model.predict(3, item).est for item in (1, 2)]
free = [model.predict(3, item, clip=False).est for item in (1, 2)]
print("cut", cut, "free", free)
assert cut == [5.0, 5.0]
assert 5 < free[0] < free[1]
PY
