"""One task of each stage, where archive, numerics and store meet; no Dask, no Ray."""
