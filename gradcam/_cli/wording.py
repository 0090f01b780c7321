"""Messages of the library in the words of the command line: options in place of arguments."""

from __future__ import annotations

import re

_OPTIONS = "cmap|dpi|head|labels|layer|model|on|output|preset|scale|size|top|weights"

_WORDS = (
    (
        r"use gradcam\.(\w+), or gradcam\.load, which \w+ every known \w+",
        r"use --model \1, or leave --model out",
    ),
    (r"gradcam\.(vgg\d\d(?:_bn)?)\('(\w[\w-]*)'\) and `--weights \2` download them", r"--model \1"),
    (r"tape\.scores and on='score', or add a softmax layer", "--on score"),
    (r"network\.labels lists all of them", "gradcam info lists all of them"),
    (r"network\.layers lists all", "gradcam info lists all"),
    (r" or the module itself \(gradcam\.from_torch\)", ""),
    (r"download it first \(urllib[^;]*$", "download it first, for example with curl -O URL"),
    (r"pip install pillow-heif, and run \S+ first; or convert", "convert"),
    (r"; answerer\.answers lists all \d+", ""),
    (r"pass class_indices=True", "add --class-indices"),
    (r"; if [^;]*\binput='[^;]*$", ""),
    (r", or pass it as an array and [^;]*\binput='[^;]*$", ""),
    (r"gradcam\.load(?:\([^)]*\))?", "--weights FILE"),
    (r"gradcam\.(vgg\d\d(?:_bn)?)\b(?:\([^)]*\))?", r"--model \1"),
    (r"gradcam\.inside\.(\w+)", r"gradcam inside \1"),
    (r"gradcam\.visualise", "gradcam visualise"),
    (rf"\b({_OPTIONS})=''", r"--\1 ''"),
    (rf"\b({_OPTIONS})='([^']*)'", r"--\1 \2"),
    (r"\bsize=\((\d+), (\d+)\)", r"--size \1x\2"),
    (r"\bsize=(\d+)\b", r"--size \1"),
    (rf"\b({_OPTIONS})=(NAME|\.\.\.)", r"--\1 NAME"),
    (r"\btarget_layer=(?=[\s,.;:)]|$)", "--layer"),
    (r"\b(labels|weights)=(?=[\s,.;:)]|$)", r"--\1 FILE"),
    (rf"\b({_OPTIONS})=(?=[\s,.;:)]|$)", r"--\1"),
)


def for_commands(message: str) -> str:
    """Return a message in which functions and arguments are replaced with commands and options."""
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message
