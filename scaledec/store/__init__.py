"""The products on disk: Zarr stores and their xarray views."""
