"""`talkingface bench`: the whole command, several systems, two programs; and where targets are found in a checkout."""
