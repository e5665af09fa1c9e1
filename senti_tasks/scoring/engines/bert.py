"""The forward pass of a BERT classifier, with or without padding.

It computes the same logits as ``BertForSequenceClassification`` of transformers in evaluation mode (a test compares
them), with three differences: queries, keys and values are one product; attention is a parameter; and in the last
layer, after the keys and values, only the first token of each text is computed, because the classifier reads no other.
That saves 10 of the 12 H² products per token of that layer.
"""

from collections.abc import Iterable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(Protocol):
    """Attention within each text of a batch. ``...`` is (N,) if the texts are packed, and (B, T) if they are padded."""

    def first(self, x: Tensor) -> Tensor:
        """The first token of each text: (..., H) to (S, H) or (B, 1, H)."""
        ...

    def of_all(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Every token attends to all tokens of its text: q, k, v (..., H) to (..., H)."""
        ...

    def of_first(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The first tokens ``q`` attend to all tokens of their texts. ``q`` and the result are shaped as ``first``."""
        ...


def is_bert(config: Any) -> bool:
    """Whether ``Bert`` can replace the transformers classifier with this configuration."""
    return (
        config.model_type == "bert"
        and config.architectures in (None, ["BertForSequenceClassification"])
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and not getattr(config, "is_decoder", False)
    )


class Bert(nn.Module):
    """The weights of a ``BertForSequenceClassification``; the embedding of token type 0 is added to the positions."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        embeddings, config = model.bert.embeddings, model.config
        self.heads: int = config.num_attention_heads
        self.words = embeddings.word_embeddings.weight  # (vocabulary, H)
        positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self.positions = nn.Parameter(positions.detach().clone())  # (longest, H)
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList([Layer(layer) for layer in model.bert.encoder.layer])
        self.pooler = model.bert.pooler.dense
        self.classifier = model.classifier

    def forward(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Logits of each text, (S, n_labels), float32. ``ids`` and ``positions`` are (...,), integers."""
        x = self.norm(
            functional.embedding(ids, self.words) + functional.embedding(positions, self.positions)
        )  # (..., H)
        *inner, last = self.encoder
        for layer in inner:
            x = layer.finish(x, attention.of_all(*layer.project(x)))
        k, v = last.keys_and_values(x)
        first = attention.first(x)
        first = last.finish(first, attention.of_first(last.query(first), k, v))
        pooled = torch.tanh(self.pooler(first))
        logits: Tensor = self.classifier(pooled).float()
        return logits.reshape(-1, logits.shape[-1])  # (S, n_labels)

    @torch.no_grad()
    def fuse(self) -> None:
        """Rewrites the layers for a GPU in half precision, so that each product and what follows it is one kernel.

        A layer computes x + W c + b. One kernel can add W c to x, but not b as well. So the normalisation that produces
        x adds b to it in advance. The next product also reads x; its bias is reduced by its weights times b. Call this
        once, while the weights are float32.
        """
        norm = self.norm
        for layer in self.encoder:
            layer.fused_finish = True
            norm.bias += layer.out.bias
            layer.qkv_bias.sub_(layer.qkv @ layer.out.bias)
            layer.out_norm.bias += layer.down.bias
            layer.up.bias -= layer.up.weight @ layer.down.bias
            norm = layer.down_norm

    @property
    def encoder(self) -> list["Layer"]:
        return list(cast(Iterable[Layer], self.layers))


class Layer(nn.Module):
    """An encoder layer without its attention: the projections before it, and everything after it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        own, output = layer.attention.self, layer.attention.output
        parts = (own.query, own.key, own.value)
        self.width: int = own.query.out_features
        self.qkv = nn.Parameter(torch.cat([part.weight for part in parts]).detach())  # (3H, H)
        self.qkv_bias = nn.Parameter(torch.cat([part.bias for part in parts]).detach())
        self.out, self.out_norm = output.dense, output.LayerNorm
        self.up, self.down, self.down_norm = layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm
        self.fused = True
        """Whether queries, keys and values are one product. OpenVINO quantises three products better."""
        self.fused_finish = False
        """Whether ``Bert.fuse`` has rewritten the layer."""

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.fused:
            return self.query(x), *self.keys_and_values(x)
        q, k, v = functional.linear(x, self.qkv, self.qkv_bias).chunk(3, dim=-1)
        return q, k, v

    def query(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.qkv[: self.width], self.qkv_bias[: self.width])

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cut = 2 * self.width
        if not self.fused:
            return (
                functional.linear(x, self.qkv[self.width : cut], self.qkv_bias[self.width : cut]),
                functional.linear(x, self.qkv[cut:], self.qkv_bias[cut:]),
            )
        k, v = functional.linear(x, self.qkv[self.width :], self.qkv_bias[self.width :]).chunk(2, dim=-1)
        return k, v

    def finish(self, x: Tensor, context: Tensor) -> Tensor:
        """All of the layer after its attention: ``x`` is what went into the layer, (..., H).

        Fused, it writes into ``x``, and computes GELU by its tanh form, which differs from the exact one by less than
        0.0005; bf16 rounds values near 1 by up to 0.004.
        """
        if self.fused_finish:
            x = self.out_norm(x.addmm_(context, self.out.weight.t()))
            inner = torch._addmm_activation(self.up.bias, x, self.up.weight.t(), use_gelu=True)
            return self.down_norm(x.addmm_(inner, self.down.weight.t()))  # type: ignore[no-any-return]
        x = self.out_norm(x + self.out(context))
        inner = functional.gelu(self.up(x))  # by the error function, as in Devlin et al. 2019
        return self.down_norm(x + self.down(inner))  # type: ignore[no-any-return]
