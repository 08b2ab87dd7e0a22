"""The published networks (CVPR 2021), their training and their weights."""
