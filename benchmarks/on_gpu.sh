#!/usr/bin/env bash
# Everything that is measured on a GPU, in under eight minutes. Each part prints its figures as it ends, and a part that
# fails stops no other.
#
#     benchmarks/on_gpu.sh                      # all parts
#     benchmarks/on_gpu.sh tests scoring        # these parts
#
# MINUTES is how long the last part pretrains; PREPARED is the folder that its texts were chosen into before.
#
# The machine needs torch with CUDA, transformers, accelerate, numpy and pytest for the first three parts, and for the
# last one what benchmarks/quality.py names. It needs no network. SENTI_REAL_DATA is a folder of real reviews, as in
# benchmarks/reviews.py; without it the reviews are made up, and the last part is left out.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda} # with DEVICE=cpu and a tiny SHAPE the script can be tried anywhere
shape=${SHAPE:-}
export PYTHONUNBUFFERED=1

tests() { # packed and padded, bf16 and fp32, give the logits of transformers; memory runs out on purpose
    "$python" -m pytest -q -p no:cacheprovider --confcutdir=tests/unit/scoring tests/unit/scoring/test_cuda.py
}

scoring() { # 100,000 long and short reviews beside transformers' pipeline and a bare chain of matrix products
    "$python" -m benchmarks.scoring --device "$device" --rounds 2 --slow-rows 512 $shape
}

training() { # optimiser steps of BERT-base, the product's Trainer beside a tutorial's loop
    "$python" -m benchmarks.training --device "$device" --rounds 2 $shape
}

quality() { # pretraining on unlabelled reviews, then fine-tuning, beside TF-IDF on the same unseen reviews
    "$python" -m benchmarks.quality --device "$device" --minutes "${MINUTES:-2}" ${PREPARED:+--prepared "$PREPARED"} $shape
}

failed=()
[ $# -gt 0 ] || set -- tests scoring training quality
for one in "$@"; do
    echo "== $one"
    started=$SECONDS
    "$one" || failed+=("$one")
    echo "== $one took $((SECONDS - started)) s"
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}"
    exit 1
fi
