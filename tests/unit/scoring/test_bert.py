"""One forward pass, computed packed, padded and in OpenVINO: the numbers are those of transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as ops
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
)

from senti_tasks.scoring.devices import cpu_capabilities
from senti_tasks.scoring.engines.bert import Bert, is_bert
from senti_tasks.scoring.engines.engine import Engine, Logits, run
from senti_tasks.scoring.engines.on_openvino import OpenVino, convert
from senti_tasks.scoring.engines.on_torch import Pack, PackedTorch, PaddedTorch, square
from senti_tasks.scoring.tokens import Tokens
from tests.unit.scoring.rows import logits_of, logits_of_batches, rows_of, rows_of_lengths, tokens_of

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")  # it is how OpenVINO converts

CPU = torch.device("cpu")
PAD = 0
EXACT = 1e-4
LENGTHS = (1, 17, 2, 128, 3, 3, 64, 31, 32, 33, 1, 90, 100, 127, 65, 5, 8, 13, 21, 2)
TINY: dict[str, Any] = {
    "vocab_size": 200,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
}


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return rows_of_lengths(LENGTHS)


@pytest.fixture(scope="module")
def expected(deep_bert: Any, tokens: Tokens) -> Logits:
    """What transformers computes of each row alone, where there is nothing to pad."""
    return row_by_row(deep_bert, tokens)


@torch.inference_mode()
def row_by_row(model: Any, tokens: Tokens) -> Logits:
    rows = [model(input_ids=torch.tensor([row])).logits for row in rows_of(tokens)]
    logits: Logits = torch.cat(rows).numpy()
    return logits


def in_evaluation(model: Any) -> Any:
    return model.eval()


def packed(model: Any) -> Engine:
    return PackedTorch(Bert(model), CPU, torch.float32)


def padded(model: Any) -> Engine:
    return PaddedTorch(model, CPU, torch.float32, PAD)


@pytest.fixture(scope="module")
def converted(deep_bert: Any) -> openvino.Model:
    return convert(deep_bert)


@pytest.fixture(params=["packed", "padded", "in OpenVINO"])
def engine(request: pytest.FixtureRequest, deep_bert: Any) -> Engine:
    if request.param == "in OpenVINO":
        return OpenVino(request.getfixturevalue("converted"), PAD, threads=1)
    return {"packed": packed, "padded": padded}[str(request.param)](deep_bert)


def exactness(engine: Engine) -> float:
    """OpenVINO computes in bf16 where the CPU does."""
    return 0.1 if isinstance(engine, OpenVino) and "BF16" in cpu_capabilities() else EXACT


def test_the_texts_of_these_tests_are_told_apart(expected: Logits) -> None:
    assert len(np.unique(expected.round(2), axis=0)) == len(LENGTHS)
    assert set(expected.argmax(axis=1).tolist()) == {0, 1}


@pytest.mark.parametrize("budget", [1, 130, 512, 4_096])
def test_every_engine_computes_the_logits_of_transformers(
    budget: int, engine: Engine, tokens: Tokens, expected: Logits
) -> None:
    np.testing.assert_allclose(logits_of(engine, tokens, budget), expected, atol=exactness(engine))


def test_padding_changes_nothing_in_transformers_either(deep_bert: Any, tokens: Tokens, expected: Logits) -> None:
    ids, lengths = square(tokens, list(range(len(LENGTHS))), PAD)
    mask = torch.arange(ids.shape[1])[None] < torch.from_numpy(lengths)[:, None]
    with torch.inference_mode():
        found = deep_bert(input_ids=torch.from_numpy(ids).long(), attention_mask=mask.long()).logits
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_the_rows_of_a_batch_may_come_in_any_order(engine: Engine, tokens: Tokens, expected: Logits) -> None:
    found = logits_of_batches(engine, tokens, [[0, 3, 2, 10], [1], [19, 5, 4, 18]])
    asked = [0, 3, 2, 10, 1, 19, 5, 4, 18]
    np.testing.assert_allclose(found[asked], expected[asked], atol=exactness(engine))


@pytest.mark.parametrize("lengths", [[1], [128], [1] * 40, [128] * 5, [64] * 3 + [1] * 3])
def test_batches_of_equal_and_of_extreme_lengths_are_right_too(
    lengths: list[int], engine: Engine, deep_bert: Any
) -> None:
    rows = rows_of_lengths(lengths)
    np.testing.assert_allclose(logits_of(engine, rows, 256), row_by_row(deep_bert, rows), atol=exactness(engine))


def test_an_engine_serves_again_after_it_released_its_memory(engine: Engine, tokens: Tokens, expected: Logits) -> None:
    logits_of(engine, tokens, 512)
    engine.release()
    np.testing.assert_allclose(logits_of(engine, tokens, 1_024), expected, atol=exactness(engine))


def test_no_batches_give_no_logits(engine: Engine, tokens: Tokens) -> None:
    assert list(run(engine, tokens, [])) == []


@pytest.mark.parametrize("engine", ["packed", "padded"], indirect=True)
def test_an_engine_that_failed_on_a_batch_serves_the_next_ones(
    engine: Engine, tokens: Tokens, expected: Logits
) -> None:
    no_such_token = tokens_of([[1_000_000], *([5, 6, 7] for _ in range(9))])
    with pytest.raises(IndexError):
        logits_of(engine, no_such_token, 6)
    engine.release()
    np.testing.assert_allclose(logits_of(engine, tokens, 512), expected, atol=EXACT)


def test_openvino_that_failed_on_a_batch_serves_the_next_ones() -> None:
    engine = OpenVino(model_of_rows_up_to(16), PAD, threads=2)
    with pytest.raises(RuntimeError, match="reshape"):
        logits_of(engine, rows_of_lengths([10, 24, 12, 16, 10]), 16)
    engine.release()
    short = rows_of_lengths([10, 12, 16] * 5)
    assert logits_of(engine, short, 32).argmax(axis=1).tolist() == [0] * 15


def test_openvino_that_was_left_in_the_middle_serves_the_next_ones(
    converted: openvino.Model, tokens: Tokens, expected: Logits
) -> None:
    engine = OpenVino(converted, PAD, threads=2)
    for _ in range(20):
        running = run(engine, tokens, engine.batches(tokens.lengths, 64))
        next(running)
        running.close()  # type: ignore[attr-defined]  # it is a generator
    np.testing.assert_allclose(logits_of(engine, tokens, 512), expected, atol=exactness(engine))


def test_openvino_sees_few_shapes_however_many_chunks_there_are(converted: openvino.Model) -> None:
    engine = OpenVino(converted, PAD, threads=1)
    draw = np.random.default_rng(7)
    chunks = [draw.integers(2, 65, size=rows) for rows in range(100, 300)]
    batches = [(chunk, batch) for chunk in chunks for batch in engine.batches(chunk, 512)]
    assert len({(-(-int(chunk[batch[0]]) // 8), len(batch)) for chunk, batch in batches}) <= 4 * 8
    assert {row for batch in engine.batches(chunks[-1], 512) for row in batch} == set(range(299))


def model_of_rows_up_to(width: int) -> openvino.Model:
    """Its logits are 1 and 0, and a batch that is wider fails as one does that is too large for the memory."""
    ids = ops.parameter([-1, -1], np.int32)
    lengths = ops.parameter([-1], np.int32)
    ids.output(0).set_names({"input_ids"})
    lengths.output(0).set_names({"lengths"})
    first = ops.slice(ops.reshape(ids, np.array([-1, width]), special_zero=False), [0], [1], [1], [1])  # (B, 1)
    zero = ops.multiply(ops.convert(first, np.float32), np.float32(0))
    logits = ops.add(zero, np.array([[1, 0]], dtype=np.float32))  # (B, 2)
    return openvino.Model([logits], [ids, lengths])


def test_batches_packed_side_by_side_are_not_mixed_up(deep_bert: Any, tokens: Tokens, expected: Logits) -> None:
    torch.set_num_threads(3)
    try:
        engine = packed(deep_bert)
    finally:
        torch.set_num_threads(1)
    assert engine.at_once == 3
    for _ in range(3):
        np.testing.assert_allclose(logits_of(engine, tokens, 100), expected, atol=EXACT)


def test_batches_streamed_side_by_side_are_not_mixed_up(
    converted: openvino.Model, tokens: Tokens, expected: Logits
) -> None:
    engine = OpenVino(converted, PAD, threads=3)
    assert engine.at_once == 3
    for _ in range(3):
        np.testing.assert_allclose(logits_of(engine, tokens, 100), expected, atol=exactness(engine))


def test_computing_in_threads_leaves_the_number_of_torch_threads_alone(deep_bert: Any, tokens: Tokens) -> None:
    torch.set_num_threads(2)
    try:
        logits_of(packed(deep_bert), tokens, 100)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_fused_model_has_the_same_numbers(tokens: Tokens) -> None:
    """With biases as large as weights: fusing moves them from one product to another."""
    shape = {**TINY, "num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.2}
    model = in_evaluation(BertForSequenceClassification(BertConfig(**shape)))
    draw = torch.Generator().manual_seed(2026)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.2 * torch.randn(weight.shape, generator=draw)
    expected = row_by_row(model, tokens)
    fused = Bert(model)
    fused.fuse()
    found = logits_of(PackedTorch(fused, CPU, torch.float32), tokens, 512)
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_a_model_in_half_precision_is_near(deep_bert: Any, tokens: Tokens, expected: Logits) -> None:
    """In a copy: an engine moves the weights it is given."""
    twin: Any = BertForSequenceClassification(deep_bert.config)
    twin.load_state_dict(deep_bert.state_dict())
    found = logits_of(PackedTorch(Bert(twin.eval()), CPU, torch.bfloat16), tokens, 512)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1 * float(np.ptp(expected)))


def test_a_converted_model_has_the_same_numbers_in_full_precision(
    converted: openvino.Model, tokens: Tokens, expected: Logits
) -> None:
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ids, lengths = square(tokens, list(range(len(LENGTHS))), PAD, step=8)
    found = compiled({"input_ids": ids, "lengths": lengths})[0]
    np.testing.assert_allclose(found, expected, atol=EXACT)


# Packs


def test_a_pack_holds_its_rows_one_after_the_other() -> None:
    pack = Pack.of(tokens_of([[11, 12, 13], [21], [31, 32]]), [2, 0])
    assert pack.ids.tolist() == [31, 32, 11, 12, 13]
    assert pack.positions.tolist() == [0, 1, 0, 1, 2]
    assert pack.cu_seqlens.tolist() == [0, 2, 5]


@pytest.mark.parametrize(("step", "width"), [(1, 5), (8, 8), (5, 5)])
def test_a_square_is_as_wide_as_its_longest_row_rounded_up(step: int, width: int) -> None:
    ids, lengths = square(tokens_of([[1, 2, 3, 4, 5], [6], [7, 8]]), [0, 2], pad_id=9, step=step)
    assert ids.tolist() == [[1, 2, 3, 4, 5] + [9] * (width - 5), [7, 8] + [9] * (width - 2)]
    assert lengths.tolist() == [5, 2]


# Other architectures


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(),
        BertConfig(architectures=["BertForSequenceClassification"]),
        BertConfig(hidden_size=64, num_hidden_layers=1, problem_type="single_label_classification"),
    ],
)
def test_a_bert_is_known(config: Any) -> None:
    assert is_bert(config)


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(hidden_act="relu"),
        BertConfig(hidden_act="gelu_new"),
        BertConfig(is_decoder=True),
        BertConfig.from_dict({"position_embedding_type": "relative_key"}),  # as older checkpoints say it
        BertConfig(architectures=["BertForMaskedLM"]),
        ElectraConfig(),
        RobertaConfig(),
        DistilBertConfig(),
    ],
)
def test_what_would_be_computed_otherwise_is_not_taken_for_a_bert(config: Any) -> None:
    assert not is_bert(config)


def electra() -> Any:
    shape = {**TINY, "embedding_size": 16, "hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.2}
    return in_evaluation(ElectraForSequenceClassification(ElectraConfig(**shape)))


def distilbert() -> Any:
    shape: dict[str, Any] = {
        "vocab_size": 200,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "initializer_range": 0.2,
    }
    return in_evaluation(DistilBertForSequenceClassification(DistilBertConfig(**shape)))


def bert_with_relu() -> Any:
    shape = {**TINY, "hidden_size": 32, "intermediate_size": 64, "hidden_act": "relu", "initializer_range": 0.2}
    return in_evaluation(BertForSequenceClassification(BertConfig(**shape)))


@pytest.mark.parametrize("model_of", [electra, distilbert, bert_with_relu])
def test_other_classifiers_are_computed_padded(model_of: Callable[[], Any], tokens: Tokens) -> None:
    model = model_of()
    np.testing.assert_allclose(logits_of(padded(model), tokens, 512), row_by_row(model, tokens), atol=EXACT)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.is_gradient_checkpointing:FutureWarning")
def test_other_classifiers_can_be_converted(tokens: Tokens) -> None:
    model = electra()
    engine = OpenVino(convert(model), PAD, threads=1)
    np.testing.assert_allclose(logits_of(engine, tokens, 512), row_by_row(model, tokens), atol=exactness(engine))
