"""python -m interalia.cli"""

from interalia.cli import main

main()
