"""Run the command line as `python -m shanraq`."""

from shanraq.ops.cli import main

main()
