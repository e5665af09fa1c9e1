import json
from pathlib import Path
from typing import Any

import pytest

from senti_tasks.scoring import foreign_code


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "attack.Configuration"}}, "config.json: auto_map"),
        ("config.json", {"auto_map": {"AutoConfig": "somebody/else--attack.Configuration"}}, "config.json: auto_map"),
        ("config.4.0.0.json", {"auto_map": "attack.Configuration"}, "config.4.0.0.json: auto_map"),
        ("tokenizer_config.json", {"auto_map": ["attack.Tokenizer", None]}, "tokenizer_config.json: auto_map"),
        ("config.json", {"text_config": [{"auto_map": {"AutoModel": "a.B"}}]}, "config.json: auto_map"),
        (
            "config.json",
            {"custom_pipelines": {"text-classification": {"impl": "a.B"}}},
            "config.json: custom_pipelines",
        ),
        ("generation_config.json", {"custom_generate": "somebody/code"}, "generation_config.json: custom_generate"),
        ("config.json", {"_attn_implementation": "somebody/kernel"}, "config.json: _attn_implementation"),
        ("config.json", {"use_kernels": True}, "config.json: use_kernels"),
    ],
)
def test_a_field_that_names_code_is_found(file: str, content: Any, found: str, tmp_path: Path) -> None:
    write(tmp_path, file, content)
    assert foreign_code.named_in(tmp_path) == found


def test_what_names_no_code_is_not(tmp_path: Path) -> None:
    write(tmp_path, "config.json", {"auto_map": {}, "attn_implementation": "sdpa", "use_kernels": False})
    write(tmp_path, "vocab.json", {"auto_map": 17, "custom_generate": 0})
    (tmp_path / "damaged.json").write_bytes(b'{"auto_map": "\xff')
    (tmp_path / "deep.json").write_text("[" * 100_000, "utf-8")
    assert foreign_code.named_in(tmp_path) is None


def test_a_model_as_saved_names_no_code(model_folder: Path) -> None:
    assert foreign_code.named_in(model_folder) is None
