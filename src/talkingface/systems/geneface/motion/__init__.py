"""Speech to the motion of one person: general networks of many people, the adapter to one, and head pose."""
