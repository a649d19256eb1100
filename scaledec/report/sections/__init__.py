"""The parts of a report: each gathers what it shows from a run, and says how it is drawn."""
