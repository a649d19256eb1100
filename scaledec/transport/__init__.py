"""Requests to what is not on this machine: bounded in time, tried again, told without secrets."""
