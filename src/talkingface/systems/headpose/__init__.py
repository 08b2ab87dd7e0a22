"""Audio-driven talking face with a learned, personalised head pose (Yi et al., arXiv 2002.10137)."""
