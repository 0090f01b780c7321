"""Benchmarks: ``python -m gradcam.bench`` times gradcam and other programs in turn.

All programs run the same VGG-16 on the same pictures. Its weights are random, with biases for
which the share of units above zero after each convolution is that of the published network on
photographs; or its convolutions are the published ones (``--network vgg16-real``). ``--network
resnet50`` is the network of that function of gradcam, with random weights and batch normalisations
that have the statistics of a few pictures; PyTorch runs torchvision's own modules of it. Below the
table are the targets of the network, the algorithms that gradcam ran, and the layers that had maps
converted into another layout. Each program
has its own process, which is idle while another one is timed. In each round every program runs
once, in an order that rotates, so that slow periods of the machine affect all programs. Before
each timed run there is an untimed one, so that the processors are awake and the caches contain
the program's own data; if a run of any program takes a second or more, and for ``start``, there
are only timed runs. The table has the median of each program's times, and the median, minimum and
maximum of the ratios of the rounds. A ratio below 1 means that gradcam is faster. Where the
rounds do not agree, or differ more than the two programs do, the table says "no verdict" instead
of faster or slower. The lines above the table say how fast and how busy the machine was.

The machine's peak and bandwidth are measured after each timed run of gradcam, in the processor
time of the threads, so that other processes do not make the machine look slower than it is. With
several threads they are sums over the threads. gradcam's own time is wall time.

The other programs run with the fastest settings: PyTorch runs as installed, and also with a malloc
that keeps freed memory, without gradients of weights, and in channels-last order or with folded
batch normalisations if that is faster.
OpenVINO computes in float32, as all programs do. Programs that are not installed are skipped, and
the table says so.

==========  ======================================================================================
task        what is timed
==========  ======================================================================================
convs       the 13 convolutions with ReLU and pooling, compared with the *direct limit*: the time
            of direct convolutions if all multiplications and additions ran at the machine's peak,
            which is the minimum for any program that computes them directly
backward    the gradient of these convolutions, from pool5 to the pixels, compared with convs
fc          the three fully connected layers, compared with the *reading limit*: the time of
            reading all their weights once at the machine's bandwidth
forward     the scores alone, without what backward passes need (gradcam: ``record=False``):
            PyTorch in inference mode, ONNX Runtime, OpenVINO
grad_cam    forward, and the Grad-CAM map of the top class at relu5_3: pytorch-grad-cam, and PyTorch
            with autograd only
grad_cam5   forward, and Grad-CAM of the top 5 classes, compared with that of one class
guided      forward, and guided backprop from the top class to the pixels: captum, and PyTorch with
            hooks only
stream      96 JPEG files of 500 x 375, in batches of 8: decoding, forward, Grad-CAM of the top
            class, and the map over the picture saved as a JPEG file: ``network.stream``, and
            pytorch-grad-cam with a DataLoader and two workers
start       from the start of the process to a heat map on the disk, for one picture: ``gradcam
            explain``, and a script for PyTorch that does the same
==========  ======================================================================================

``--neighbour`` adds a task: convs while another process reads 200 MB again and again on a
processor that gradcam does not use, compared with convs without it. Systems that cannot bind a
process to a processor, such as macOS, choose the processors themselves.

    python -m gradcam.bench
    python -m gradcam.bench --against torch --batch 8 --tasks forward,grad_cam --rounds 20
    python -m gradcam.bench --threads 1,all --level avx2 --json bench.json
    python -m gradcam.bench --batch 1 --against none --tasks convs --layers
    python -m gradcam.bench --threads 1 --batch 1 --tasks convs --against none --neighbour
    python -m gradcam.bench --network resnet50 --batch 1,8 --threads 1,all

Modules: ``__main__`` parses the options, ``_programs`` lists the programs and their tasks,
``_comparison`` runs the rounds, ``_process`` starts programs and ``_worker`` runs in their
processes, ``_engines`` has one module per program, ``_networks`` makes the network and its input,
``_pictures`` writes a folder of pictures, ``_neighbour`` is the busy process, ``_report`` computes
ratios and verdicts and prints tables, ``_targets`` has the speed that is asked for, ``_machine``
describes the machine and its load.
"""
