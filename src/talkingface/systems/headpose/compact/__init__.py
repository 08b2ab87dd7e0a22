"""The compact variant: the person as splats, with head, lids and eyes of the clip."""
