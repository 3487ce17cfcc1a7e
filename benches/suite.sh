#!/usr/bin/env bash
# Every comparison of BENCHMARKS.md, one after the other, on a machine that nobody else uses.
#
#   benches/suite.sh OUT [DEVICE]
#
# PYTHON          an interpreter with benches/peers/requirements.txt (default: python3)
# RECBOLE_PYTHON  one with benches/peers/requirements-recbole.txt; without it RecBole is left out
# AUTHORS         a clone of the ODMT authors' repository (benches/peers/odmt_upstream.py says how to get it); without it
#                 their own code is left out
# CODISTILL       the program (default: target/release/codistill)
# DEVICE          cpu (default) or wgpu; the peers then run on cuda
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?where to}
device=${2:-cpu}
python=${PYTHON:-python3}
binary=${CODISTILL:-target/release/codistill}
failed=0

versus() {
  local name=$1
  shift
  "$python" benches/versus.py "$@" --binary "$binary" --device "$device" --out "$out/$name" || failed=1
}

recbole=""
sasrec=(--python "$python")
if [ -n "${RECBOLE_PYTHON:-}" ] && [ "$device" = cpu ]; then
  recbole=,recbole
  sasrec+=(--recbole-python "$RECBOLE_PYTHON")
fi
peers=(--contenders codistill,torch-eager,torch-savings)
if [ -n "${AUTHORS:-}" ]; then
  peers=(--contenders codistill,torch-eager,torch-savings,authors-code --authors "$AUTHORS")
fi
for profile in dense sparse; do
  versus "odmt-small-$profile" odmt-small --profile "$profile" "${peers[@]}" --rounds 3 --warmup 3 --steps 12
done
# A step of the eager graph takes minutes on a CPU: one round.
for profile in dense sparse; do
  versus "odmt-paper-$profile" odmt-paper --profile "$profile" "${peers[@]}" \
    --rounds 1 --warmup 1 --steps 2
done
# Apart, because its compiler takes minutes in each round.
versus odmt-small-compiled odmt-small --profile dense --contenders codistill,torch-eager,torch-compile \
  --rounds 1 --warmup 3 --steps 12
versus sasrec-ml1m sasrec-ml1m --profile sparse --contenders "codistill,torch-eager$recbole" \
  --rounds 2 --warmup 2 --steps 4 "${sasrec[@]}"
versus eval-arts eval-arts --profile sparse --contenders codistill,torch-sort-loop,torch-topk --rounds 5 --warmup 1 --steps 1
for profile in dense sparse; do
  for name in odmt-tokens-small odmt-cls-small; do
    versus "$name-$profile" "$name" --profile "$profile" "${peers[@]}" --rounds 3 --warmup 3 --steps 12
  done
  versus "odmt-cls-$profile" odmt-cls --profile "$profile" "${peers[@]}" --rounds 1 --warmup 1 --steps 2
done
versus sasrec-beauty sasrec-beauty --profile sparse --contenders "codistill,torch-eager$recbole" \
  --rounds 2 --warmup 2 --steps 4 "${sasrec[@]}"
for name in loss-ce loss-odmt-kd; do
  versus "$name" "$name" --contenders codistill,torch-eager,torch-tiled --rounds 3 --warmup 2 --steps 6
done
versus prep-jsonl prep-jsonl --profile sparse --contenders codistill,pandas,pandas-chunked --rounds 2 --warmup 0 --steps 1
versus ckpt ckpt --contenders codistill,torch-save,torch-save-durable --rounds 2 --warmup 1 --steps 3
for growth in users=16,32,64,128 positions=5,10,20,40 text_tokens=10,30,90 width=32,64,128 items=1000,8000,64000; do
  versus "growth-${growth%%=*}" odmt-small --profile dense --growth --contenders codistill --set "$growth" \
    --rounds 1 --warmup 2 --steps 8
done
exit $failed
