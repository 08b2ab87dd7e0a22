"""The figures of one pair of videos: pictures, motion, phones, and figures of imported networks."""
