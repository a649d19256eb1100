"""What figures show, read from the stores of a run."""
