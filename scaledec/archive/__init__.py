"""Archives of miniSEED: what lies where, and the samples of one segment."""
