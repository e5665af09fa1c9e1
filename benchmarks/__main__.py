"""All comparisons on this machine: scoring of long and short reviews, then training. ``--rows`` is for scoring."""

import argparse
import json

from benchmarks import machine, options, scoring, training
from benchmarks.tables import say


def main() -> None:
    options.quieten()
    parser = options.parser("python -m benchmarks", __doc__)
    scoring.add_options(parser)
    parser.add_argument("--training-rows", type=options.whole, help="reviews of a block of training steps, long ones")
    arguments = parser.parse_args()
    described = machine.describe()
    found = scoring.measure(arguments)
    if not arguments.json:
        say(*machine.lines(described))
        scoring.show(found)
    trained = training.measure(
        argparse.Namespace(**{**vars(arguments), "rows": arguments.training_rows, "mix": "long"})
    )
    if arguments.json:
        say(json.dumps({**described, "scoring": found, "training": trained}, indent=2))
    else:
        training.show(trained)


if __name__ == "__main__":
    main()
