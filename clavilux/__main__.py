"""`python -m clavilux` is the command `clavilux`."""

import sys

from clavilux.command import main

sys.exit(main())
