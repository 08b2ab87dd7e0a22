"""The compact networks: small enough for two CPU cores."""
