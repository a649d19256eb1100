"""Questions to the labels of a run: which class, where, when, how sure, what goes with it."""
