"""Every option names a function, takes only what that function takes, and shares the study's seed."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "dataset").glob("*.yaml"))


def option(path, **changes):
    config = OmegaConf.create({"seed": 11, "dataset": OmegaConf.load(path)})
    return OmegaConf.merge(config, {"dataset": changes}).dataset


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_options_are_what_the_function_takes(path):
    config = option(path)
    fields = set(config) - {"_target_"}
    assert fields == set(inspect.signature(get_method(config._target_)).parameters)
    assert config.seed == 11
    assert config.probe_size is None
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 12


def test_digits_instantiate():
    assert len(instantiate(option(CONFIGS[[path.stem for path in CONFIGS].index("digits")])).train) == 200


def test_data_folder_comes_from_the_environment(monkeypatch, tmp_path):
    path = next(path for path in CONFIGS if path.stem == "dtd")
    monkeypatch.delenv("TRANSFER_EXP_DATA", raising=False)
    assert option(path).root == "data"
    monkeypatch.setenv("TRANSFER_EXP_DATA", str(tmp_path))
    assert option(path).root == str(tmp_path)


def test_importing_the_datasets_loads_nothing_heavy():
    modules = sorted({option(path)._target_.rpartition(".")[0] for path in CONFIGS})
    heavy = "{'torch', 'torchvision', 'timm', 'sklearn', 'datasets'} & set(sys.modules)"
    code = f"import sys, {', '.join(modules)}; print({heavy} or 'light')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "light"
