"""The record of what is done."""
