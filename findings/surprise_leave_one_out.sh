#!/usr/bin/env bash
# surprise: LeaveOneOut takes the only rating of a user, who is then unknown to the model.
#
# Guess: something is left to train on for every user that is tested.
# Seen:  min_n_ratings is 0 by default: user 2 with one rating stands in the test set and not in the
#        training set. min_n_ratings=1 leaves that user out of the test set, and still out of training.
# Bears on: leave-one-out results on logs with many one-item users.
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
from surprise import Dataset, Reader
from surprise.model_selection import LeaveOneOut

for name in ("scikit-surprise", "pandas", "numpy"):
    print(name, version(name))

rows = pd.DataFrame({"user": [1, 1, 2, 3, 3, 3], "item": [1, 2, 1, 1, 2, 3], "rating": [1.0, 5, 3, 2, 2, 2]})
data = Dataset.load_from_df(rows, Reader())
users = {}
for least in (0, 1):
    ((train, test),) = LeaveOneOut(n_splits=1, random_state=0, min_n_ratings=least).split(data)
    trained = {train.to_raw_uid(u) for u in train.all_users()}
    users[least] = (trained, {user for user, _, _ in test})
    print("min_n_ratings", least, "trained", *users[least], "tested")
assert users == {0: ({1, 3}, {1, 2, 3}), 1: ({1, 3}, {1, 3})}
PY
