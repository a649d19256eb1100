"""The stages one after another: what is done is skipped, what is left is handed to an engine."""
