"""`geneface` (Ye et al., ICLR 2023, release 1.1): in preparation. It has no specification yet, so nothing offers it.

`official/` holds the published networks and their surroundings, compared number by number with the originals.
"""
