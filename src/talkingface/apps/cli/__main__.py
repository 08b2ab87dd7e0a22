"""`python -m talkingface.apps.cli`: the command line without an installed script."""

import sys

from talkingface.apps.cli.entry import main

sys.exit(main())
