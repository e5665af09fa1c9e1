"""Run all comparisons on this machine: scoring of long and short reviews, then training.

``--rows`` applies to scoring; ``--training-rows`` applies to training.
"""

import argparse
import json

from benchmarks import machine, options, scoring, training
from benchmarks.tables import print_lines


def main() -> None:
    options.configure_logging()
    parser = options.build_parser("python -m benchmarks", __doc__)
    scoring.add_options(parser)
    parser.add_argument(
        "--training-rows", type=options.positive_int, help="long reviews in each round of training; default: by device"
    )
    arguments = parser.parse_args()
    description = machine.describe()
    scoring_results = scoring.measure(arguments)
    if not arguments.json:
        print_lines(*machine.lines(description))
        scoring.show(scoring_results)
    training_results = training.measure(
        argparse.Namespace(**{**vars(arguments), "rows": arguments.training_rows, "mix": "long"})
    )
    if arguments.json:
        print_lines(json.dumps({**description, "scoring": scoring_results, "training": training_results}, indent=2))
    else:
        training.show(training_results)


if __name__ == "__main__":
    main()
