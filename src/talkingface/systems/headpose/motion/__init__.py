"""Expression and head motion: from speech, from a video, and out of the person's own clip."""
