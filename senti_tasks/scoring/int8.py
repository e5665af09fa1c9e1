"""Products of bytes in torch, for x86 CPUs without the instruction for them: with AVX2 1.6 times as fast as fp32.

Weights are rounded once, a scale per output; activations as they come, a scale per batch (dynamic quantisation), by the
fbgemm kernels. Nothing has to be calibrated. Everything but the products stays in fp32.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from senti_tasks.scoring.bert import Bert, Layer

MARK = "int8_in_torch"
"""The field of config.json that says that a model's products are to be computed so."""


@torch.no_grad()
def round_weights(model: Any) -> None:
    """Puts every row of the products' weights of a ``BertForSequenceClassification`` on a grid of 255 values.

    ``quantise`` then loses nothing more. The config is marked, so that the saved model is loaded as this form.
    """
    for layer in model.bert.encoder.layer:
        own = layer.attention.self
        for part in (
            own.query,
            own.key,
            own.value,
            layer.attention.output.dense,
            layer.intermediate.dense,
            layer.output.dense,
        ):
            part.weight.copy_(_quantised(part.weight).dequantize())
    setattr(model.config, MARK, True)


def quantise(bert: Bert) -> Bert:
    """``bert`` with the products of its layers in bytes; for weights that are rounded, without loss."""
    *inner, last = bert.encoder
    bert.layers = nn.ModuleList([*(_Layer(layer) for layer in inner), _LastLayer(last)])
    return bert


class _Layer(nn.Module):
    """An encoder layer with the interface of ``Layer``."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.qkv = _Product(layer.qkv, layer.qkv_bias)
        self.out = _Product(layer.out.weight, layer.out.bias)
        self.up = _Product(layer.up.weight, layer.up.bias)
        self.down = _Product(layer.down.weight, layer.down.bias)
        self.out_norm, self.down_norm = layer.out_norm, layer.down_norm

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return q, k, v

    def finish(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.out_norm(x + self.out(context))
        normed: Tensor = self.down_norm(x + self.down(functional.gelu(self.up(x))))
        return normed


class _LastLayer(_Layer):
    """Queries apart from keys and values: they are asked for of the first tokens alone."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        width = layer.width
        self.query = _Product(layer.qkv[:width], layer.qkv_bias[:width])
        self.kv = _Product(layer.qkv[width:], layer.qkv_bias[width:])
        del self.qkv

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        k, v = self.kv(x).chunk(2, dim=-1)
        return k, v


class _Product(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self._packed = torch.ops.quantized.linear_prepack(_quantised(weight), bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        # Seven bits of activation: with eight, two products can overflow the 16 bits that AVX2 adds them up in.
        product: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, reduce_range=True)
        return product


def _quantised(weight: Tensor) -> Tensor:
    scales = weight.detach().abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the type is on its way out of torch; the version is pinned, and tested
        return torch.quantize_per_channel(weight.detach(), scales.double(), zeros, 0, torch.qint8)
