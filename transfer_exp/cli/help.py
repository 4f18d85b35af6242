"""Help of the program: the main tasks on one screen, and the help of the commands that Hydra parses."""

from __future__ import annotations

from collections.abc import Mapping

from transfer_exp.cli.console import Parser
from transfer_exp.cli.output import add_output_options

TASKS: Mapping[str, tuple[str, str]] = {
    "rank": ("rank pretrained models for your images, within a time budget", "rank photos --budget 10m"),
    "run": ("score the models of a pool, and compare with true accuracies", "run dataset=digits metric=logme"),
    "sweep": ("run all combinations of settings (or +sweep=NAME)", "run -m metric=logme,sfda perturbation=none,pca"),
    "leaderboard": ("show where a metric stands among all others", "leaderboard metric=sfda perturbation=pca"),
    "evaluate": ("compare scores from any source with accuracies", "evaluate scores.csv accuracies.csv"),
    "report": ("write the tables and the page of a run or a sweep again", "report outputs/sweeps/NAME"),
    "plan": ("estimate the time and the storage of a sweep", "plan +sweep=demo"),
    "cache": ("list or remove stored features and accuracies", "cache ls"),
    "doctor": ("check the installation", "doctor"),
}
"""What each task does, and the arguments of an example, by the name of the task."""
_PLAN_EXAMPLES = ("transfer-exp plan +sweep=demo", "transfer-exp plan -m metric=logme,sfda perturbation=none,pca")
_RUN_EXAMPLES = (
    "transfer-exp run dataset=digits metric=logme ground_truth=linear_probe",
    "transfer-exp run -m metric=logme,sfda perturbation=none,pca",
    "transfer-exp run +sweep=demo",
)


def print_help() -> None:
    """Print the main tasks with an example each, on one screen."""
    lines = ["transfer-exp: which pretrained model to fine-tune, before fine-tuning any.", ""]
    for task, (text, example) in TASKS.items():
        lines += [f"  {task:<11} {text}", f"                transfer-exp {example}"]
    lines += [
        "",
        "transfer-exp COMMAND --help    options of a command",
        "transfer-exp --help config     all settings of rank, run and sweeps",
    ]
    print("\n".join(lines))


def run_parser() -> Parser:
    """Return the parser whose help describes ``transfer-exp run``; Hydra parses the arguments."""
    parser = Parser(
        prog="transfer-exp run",
        description="Score the models of a pool on a dataset, and compare the ranking with true accuracies.\n"
        "All groups with their options, and all settings: transfer-exp --help config",
        examples=_RUN_EXAMPLES,
    )
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="option of a group, such as metric=logme, or a setting"
    )
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="run every combination of settings with several values: KEY=A,B"
    )
    parser.add_argument("-cd", "--config-dir", metavar="DIR", help="folder with option files of your own")
    parser.add_argument("--cfg", choices=("job", "hydra", "all"), help="print the settings instead of running")
    add_output_options(parser)
    return parser


def plan_parser() -> Parser:
    """Return the parser whose help describes ``transfer-exp plan``; Hydra parses the arguments."""
    parser = Parser(
        prog="transfer-exp plan",
        description="Print the jobs, images, time and storage that a command line will take, and run none of them.",
        examples=_PLAN_EXAMPLES,
    )
    parser.add_argument("arguments", nargs="*", metavar="KEY=VALUE", help="the same arguments as for transfer-exp run")
    return parser
