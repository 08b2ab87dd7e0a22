"""From a clip to an avatar: the stages of `fit`."""
