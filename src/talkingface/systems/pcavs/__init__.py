"""PC-AVS (Zhou et al., CVPR 2021): one photo, a voice, and the head motion of another video."""
