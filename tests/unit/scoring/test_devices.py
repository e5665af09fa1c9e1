"""What a machine computes on."""

import pytest
import torch

from senti_tasks.errors import ConfigError
from senti_tasks.scoring import devices

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


@pytest.mark.parametrize("name", ["gpu", "cuda:1", "CPU", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"SENTI_DEVICE must be auto, cpu or cuda "):
        devices.device_named(name)


@NO_GPU
def test_a_gpu_that_is_not_here_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="torch finds no CUDA device here: look at `nvidia-smi`, or set it to auto or cpu"
    ):
        devices.device_named("cuda")


@NO_GPU
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert devices.device_named("auto") == devices.device_named("cpu") == torch.device("cpu")


def test_fp32_is_always_a_variant_worth_having_and_the_last_resort() -> None:
    variants = devices.fastest_variants("cpu")
    assert variants[-1] == "fp32"
    assert set(variants) <= set(devices.VARIANTS)
    assert len(set(variants)) == len(variants)


def test_int8_is_for_cpus_with_the_instructions_for_it() -> None:
    assert ("int8" in devices.fastest_variants("cpu")) == ("INT8" in devices.cpu_capabilities())


@pytest.mark.parametrize(("setting", "variants"), [("fp32", ["fp32"]), ("int8", ["int8", "bf16", "fp32"])])
def test_a_variant_that_is_asked_for_is_tried_before_the_more_exact_ones(setting: str, variants: list[str]) -> None:
    assert devices.wanted_variants(setting, "cpu") == variants


def test_without_a_wish_the_fastest_variants_are_tried() -> None:
    assert devices.wanted_variants("auto", "cpu") == ["cascade", *devices.fastest_variants("cpu")]
    assert devices.wanted_variants("cascade", "cpu") == devices.wanted_variants("auto", "cpu")


def test_a_device_is_described_by_what_decides_its_speed() -> None:
    description = devices.description(torch.device("cpu"))
    assert f"{torch.get_num_threads()} threads" in description
    assert torch.__version__ in description
