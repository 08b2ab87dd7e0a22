"""The published form: networks in their own names, data preparation and rendering, in plain torch and NumPy."""
