"""Benchmarks: ``python -m gradcam.bench`` times gradcam and other programs, side by side.

VGG-16 with random weights, the same in every program, on the same input. Every program runs in a
process of its own, which waits without work while the others are timed. In each round all of them
run in turn, in an order that rotates, so that a slow moment of the machine meets them all. Each
runs twice and is timed the second time, when the processors are awake and the caches its own; where
one run of any of them takes a second or more, and for ``start``, all run once. What is reported are
the median of each program's times, and the median, least and greatest of the ratios taken round by
round. A ratio below 1 says that gradcam is faster.

Every other program is given its best: PyTorch runs as installed, and once more with malloc told to
keep its memory, no gradients of weights, and channels last where that is faster; OpenVINO computes
in float32, as all the others do. A program that is not installed is left out, and said so.

==========  ======================================================================================
task        what is timed
==========  ======================================================================================
convs       the 13 convolutions with ReLU and pooling, against the *direct limit*: the time that
            direct convolutions would take if every multiplication and addition ran at the
            machine's peak, which no program that computes them directly can beat
forward     all layers: PyTorch, ONNX Runtime, OpenVINO
grad_cam    forward, and the Grad-CAM map of the top class at relu5_3: pytorch-grad-cam, and PyTorch
            without it, by autograd
grad_cam5   forward, and Grad-CAM of the top 5 classes, against that of one
guided      forward, and guided backprop from the top class to the pixels: captum, and PyTorch
            without it, by hooks
start       from the start of the process to a heat map on the disk: ``gradcam explain``, and a
            script for PyTorch that does the same; one picture
==========  ======================================================================================

    python -m gradcam.bench
    python -m gradcam.bench --against torch --batch 8 --tasks forward,grad_cam --rounds 20
    python -m gradcam.bench --threads 1,all --level avx2 --json bench.json
    python -m gradcam.bench --batch 1 --against none --tasks convs --layers

The rooms: ``__main__`` reads the options, ``contest`` runs rounds, ``worker`` is one program's
process, ``engines/`` holds what each program is told to do, ``report`` the arithmetic and tables.
"""
