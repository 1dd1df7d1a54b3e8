#!/usr/bin/env python3
"""Whole pretraining, views included, for compare.py: the same SimCLR recipe in Selfsame and in lightly.

pretrain.py w1|w2 STEPS ours|f32|f32_channels_last WORKERS THREADS   prints {"milliseconds": [...], "peak_mb": ...}

Both read the bundled images (w1: padded to 32 px and made three channels) from one .npy file: crop, flip, jitter, for
w1 color drop; ResNet-18 with the small stem or the micro-ResNet, a projector of two layers, NT-Xent, SGD.
"""
import gzip, json, pathlib, resource, subprocess, sys, tempfile, time

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
workload, steps, mode, workers, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
color = workload == "w1"
batch, size, channels, hidden = (64, 32, 3, 512) if color else (256, 28, 1, 256)
saturation, hue = (0.4, 0.1) if color else (0.0, 0.0)
WARM_UP = 3


def images():
    """[samples, size, size, channels], as many as the steps need."""
    with gzip.open(ROOT / "crates/selfsame-data/demo/train-images-idx3-ubyte.gz") as file:
        data = numpy.frombuffer(file.read()[16:], numpy.uint8).reshape(-1, 28, 28, 1)[: batch * (steps + WARM_UP)]
    if color:
        data = numpy.pad(data, [(0, 0), (2, 2), (2, 2), (0, 0)])
        data = numpy.concatenate([data, numpy.roll(data, 1, 1), numpy.roll(data, 1, 2)], 3)
    return numpy.ascontiguousarray(data)


def ours():
    jitter = f"brightness=0.4,contrast=0.4,saturation={saturation},hue={hue}"
    drop = ',{name="color_drop",p=0.2}' if color else ""
    views = (f'views=[{{count=2,augmentations=[{{name="random_resized_crop",scale=[0.08,1.0]}},{{name="horizontal_flip"}},'
             f'{{name="color_jitter",{jitter},p=0.8}}{drop}]}}]')
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/images.npy", images())
        command = [ROOT / "target/release/selfsame", "pretrain", "--records", f"data={folder}/images.npy", f"out={folder}/run", views]
        command += [f"backbone={'resnet18' if color else 'resnet_micro'}", f"projector.hidden={hidden}", "projector.out=128"]
        command += [f"batch_size={batch}", "epochs=1", "optimizer.warmup_epochs=0", f"threads={threads}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        times = [1e3 * time.perf_counter() for line in process.stdout if json.loads(line)["event"] == "step"]
        if process.wait():
            sys.exit("selfsame failed")
    return [after - before for before, after in zip(times[WARM_UP:], times[WARM_UP + 1 :])]


def lightly():
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    from nets import micro, resnet18

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    statistics = {"mean": [0.5] * channels, "std": [0.25] * channels}
    transform = SimCLRTransform(
        input_size=size, cj_bright=0.4, cj_contrast=0.4, cj_sat=saturation, cj_hue=hue, random_gray_scale=0.2 if color else 0,
        gaussian_blur=0, normalize=statistics)

    class Views(torch.utils.data.Dataset):
        samples = [Image.fromarray(image if color else image[..., 0]) for image in images()]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return transform(self.samples[index])

    loader = torch.utils.data.DataLoader(Views(), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)
    net = resnet18() if color else micro()
    width = net.fc.in_features
    net.fc = torch.nn.Identity()
    model = torch.nn.Sequential(net, SimCLRProjectionHead(width, hidden, 128)).train()
    layout = torch.channels_last if mode == "f32_channels_last" else torch.contiguous_format
    model = model.to(memory_format=layout)
    criterion = NTXentLoss(temperature=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    times = []
    for views in loader:
        one, two = (view.contiguous(memory_format=layout) for view in views)
        loss = criterion(model(one), model(two))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(1e3 * time.perf_counter())
    return [after - before for before, after in zip(times[WARM_UP:], times[WARM_UP + 1 :])]


milliseconds = ours() if mode == "ours" else lightly()
# Of the process that trains; ours is a child.
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
# Batches come in bursts where views are made ahead: the mean, not the median, is the pace.
print(json.dumps({"milliseconds": [sum(milliseconds) / len(milliseconds)], "peak_mb": peak}))
