"""What the published generators are conditioned on: a face model, drawn in the published convention."""
