"""Numbers only: arrays and plain arguments in, arrays out; no files, no configuration."""
