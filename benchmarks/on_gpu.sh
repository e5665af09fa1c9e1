#!/usr/bin/env bash
# All measurements on a GPU, in under eight minutes. Each part prints its figures when it ends. If a part fails, the others
# still run.
#
#     benchmarks/on_gpu.sh                      # all parts
#     benchmarks/on_gpu.sh tests scoring        # these parts
#
# MINUTES is the time of pretraining in the last part (quality), by default 2. PREPARED is a folder of texts that
# `python -m benchmarks.quality --only-prepare --prepared FOLDER` has written.
#
# The first three parts need torch with CUDA, transformers, accelerate, numpy and pytest. The last part also needs the
# packages that benchmarks/quality.py and benchmarks/quality_texts.py import. No network is needed. SENTI_REAL_DATA is a
# folder of real reviews, see benchmarks/reviews.py. Without it the reviews are synthetic, and the last part fails.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda} # DEVICE=cpu with a tiny SHAPE (--layers 1 --hidden 32) tries the script without a GPU
shape=${SHAPE:-}
export PYTHONUNBUFFERED=1

tests() { # logits of packed and padded rows, bf16 and fp32; running out of memory; training steps as CUDA graphs
    "$python" -m pytest -q -p no:cacheprovider --noconftest tests/unit/scoring/test_cuda.py tests/unit/training/test_cuda_graphs.py
}

scoring() { # 100,000 long and short reviews, compared with transformers and with matrix products alone
    "$python" -m benchmarks.scoring --device "$device" --rounds 2 --slow-rows 512 $shape
}

training() { # optimiser steps of BERT-base: the product's Trainer compared with a tutorial's loop
    "$python" -m benchmarks.training --device "$device" --rounds 2 $shape
}

quality() { # pretraining on unlabelled reviews and fine-tuning, compared with TF-IDF on the same test rows
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
