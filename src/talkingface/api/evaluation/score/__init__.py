"""The figures of one pair of videos: pictures, motion, phones, and what imported networks say."""
