"""``python -m gradcam``: the command line."""

from gradcam._cli import main

main(prog_name="python -m gradcam")
