"""Deep embedded clustering as functions of arrays."""
