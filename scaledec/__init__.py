"""Deep embedded clustering of seismic archives of any size."""

__version__ = "0.1.0"
