"""The seed of what is drawn at random, the same in all processes of one test run."""

import os
import random
import zlib

SEED = int(os.environ.get("CARDBOT_FAULT_SEED", "0"))
if not SEED:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")  # tests side by side must be the same ones
    SEED = zlib.crc32(run.encode()) % 10**6 + 1 if run else random.randrange(1, 10**6)
