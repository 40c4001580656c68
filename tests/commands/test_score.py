"""`vbq score` from outside."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from commands.score import score
from schemas.errors import ModelRefused

MEAN = ["--vbq", "4.26", "--t-score", "-2.48"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("VBQ_CONFIG", raising=False)
    return lambda *args: CliRunner().invoke(score, list(args))


def test_json_is_one_document_with_the_contract_s_keys(run) -> None:
    found = run(*MEAN, "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert (document["model"], document["horizon_years"]) == ("lin2025-vbq-t", 5)
    assert [round(document[key], 3) for key in ("risk", "lower", "upper")] == [0.299, 0.229, 0.385]


def test_the_table_shows_three_decimals_and_what_the_model_is_not(run) -> None:
    found = run(*MEAN)
    assert "0.299" in found.stdout
    assert "0.229 to 0.385" in found.stdout
    assert "not a cleared medical device" in found.stdout


@pytest.mark.parametrize("args", [["--vbq", "4"], [], ["--vbq", "nan", "--t-score", "-1"], [*MEAN, "--horizon", "3"]])
def test_what_the_model_cannot_answer_is_refused(run, args) -> None:
    assert isinstance(run(*args).exception, ModelRefused)


@pytest.mark.parametrize(
    "args",
    [["--vbq", "x"], [*MEAN, "--input", "age=70"], [*MEAN, "--input", "nonsense"], [*MEAN, "--input", "vbq=a"]],
)
def test_wrong_usage_is_said_to_be_that(run, args) -> None:
    assert run(*args).exit_code == 2


def test_every_covariate_can_be_given_by_name(run) -> None:
    by_name = run("--input", "vbq=4.26", "--input", "t_score=-2.48", "--json")
    assert json.loads(by_name.stdout)["risk"] == json.loads(run(*MEAN, "--json").stdout)["risk"]


def test_scoring_imports_no_statistics_library() -> None:
    program = (
        "import sys; sys.argv = ['vbq', 'score', '--vbq', '4.26', '--t-score', '-2.48', '--json']\n"
        "from commands.__main__ import main\n"
        "slow = {'lifelines', 'pandas', 'scipy', 'numpy', 'matplotlib'}\n"
        "try: main()\nfinally: print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0
    assert found.stderr.strip() == "[]"
