"""From samples to power on a grid of frames and frequencies."""
