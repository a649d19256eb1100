"""A local web page on the live stores: counts over time, down to a spectrogram and its samples."""
