"""How a training takes its steps: order of rows, gradients, checkpoints and interruptions."""
