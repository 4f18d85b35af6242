"""Dataset options use the seed and the data folder of the run, and importing them loads no heavy library."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))


def option(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[f"dataset={name}", "seed=11"]).dataset


@pytest.mark.parametrize("name", OPTIONS)
def test_the_seed_is_that_of_the_run_and_the_scoring_set_is_the_training_split(name):
    dataset = option(name)
    assert dataset.seed == 11
    assert dataset.scoring_set_size is None


def test_the_digits_option_can_be_instantiated():
    assert len(instantiate(option("digits")).train) == 200


def test_the_data_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("TRANSFER_EXP_DATA", raising=False)
    assert option("dtd").root == "data"
    monkeypatch.setenv("TRANSFER_EXP_DATA", str(tmp_path))
    assert option("dtd").root == str(tmp_path)


def test_importing_the_datasets_loads_no_heavy_library():
    texts = [(CONF / "dataset" / f"{name}.yaml").read_text() for name in OPTIONS]
    modules = sorted({module for text in texts for module in re.findall(r"_target_: (\S+)\.\w+", text)})
    heavy = "{'torch', 'torchvision', 'timm', 'sklearn', 'datasets'} & set(sys.modules)"
    code = f"import sys, {', '.join(modules)}; print({heavy} or 'light')"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "light"
