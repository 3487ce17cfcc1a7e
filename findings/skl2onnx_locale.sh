#!/usr/bin/env bash
# skl2onnx: a converted TfidfVectorizer loads only where the locale en_US.UTF-8 is installed.
#
# Guess: an ONNX file needs a runtime and nothing of the operating system.
# Seen:  lowercase=True, the default, becomes a StringNormalizer for en_US. Without that locale (as in slim
#        containers; here an empty LOCPATH) the session can't be made. lowercase=False loads.
# Bears on: serving exported text pipelines in containers.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  skl2onnx==1.20.0 scikit-learn==1.9.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import os

os.environ["LOCPATH"] = os.getcwd()
import warnings

warnings.simplefilter("ignore")
import onnxruntime as ort
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer

for name in ("skl2onnx", "scikit-learn", "onnxruntime", "onnx", "numpy"):
    print(name, version(name))

ort.set_default_logger_severity(4)
for lowercase in (False, True):
    model = TfidfVectorizer(lowercase=lowercase).fit(["blue shoes", "new york cafe"])
    graph = convert_sklearn(model, initial_types=[("text", StringTensorType([None, 1]))])
    try:
        ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as e:
        print("lowercase", lowercase, "->", str(e)[-150:])
        assert lowercase and "en_US" in str(e)
    else:
        print("lowercase", lowercase, "-> loads")
        assert not lowercase, "no locale is needed now"
PY
