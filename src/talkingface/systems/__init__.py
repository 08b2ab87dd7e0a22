"""One folder per method. A folder's `__init__` holds only its `SPEC`; nothing here imports another system."""
