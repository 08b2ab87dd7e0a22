"""A person: a clip prepared for fitting, its checks and head poses, trainings on it, and held-out figures."""
