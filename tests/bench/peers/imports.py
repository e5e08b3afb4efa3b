"""What an import costs over AiiDA's own, in a fresh interpreter: ``python imports.py PACKAGE`` prints seconds."""

import importlib
import sys
import time

import aiida.schedulers.plugins.slurm  # noqa: F401
import aiida.transports.transport  # noqa: F401
import aiida.transports.util  # noqa: F401

start = time.perf_counter()
importlib.import_module(f"{sys.argv[1]}.transport")
importlib.import_module(f"{sys.argv[1]}.scheduler")
print(time.perf_counter() - start)
