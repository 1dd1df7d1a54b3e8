#!/usr/bin/env python3
"""Whole pretraining, views included, for compare.py: the same SimCLR recipe in Selfsame and in lightly.

pretrain.py w1|w2|w4 STEPS ours|f32|f32_channels_last WORKERS THREADS   prints {"milliseconds": [...], "peak_mb": ...}

w1 and w2 read the bundled images (w1: padded to 32 px and made three channels) from one .npy file, w4 JPEG files of 500x375: crop, flip,
jitter, but for w2 color drop, for w4 blur; ResNet-18 with the small stem, the micro-ResNet or ResNet-50 at 224 px, a projector of two layers,
NT-Xent, SGD. The JPEGs are made once, in benchmarks/.photos.
"""
import gzip, json, os, pathlib, resource, subprocess, sys, tempfile, time

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "benchmarks"))
import photos

workload, steps, mode, workers, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
color, files = workload != "w2", workload == "w4"
backbone, batch, size, channels, hidden = {
    "w1": ("resnet18", 64, 32, 3, 512), "w2": ("resnet_micro", 256, 28, 1, 256), "w4": ("resnet50", 32, 224, 3, 2048)}[workload]
saturation, hue = (0.4, 0.1) if color else (0.0, 0.0)
WARM_UP = 1 if files else 3
PHOTOS = ROOT / "benchmarks/.photos"


def images():
    """[samples, size, size, channels], as many as the steps need."""
    with gzip.open(ROOT / "crates/selfsame-data/demo/train-images-idx3-ubyte.gz") as file:
        data = numpy.frombuffer(file.read()[16:], numpy.uint8).reshape(-1, 28, 28, 1)[: batch * (steps + WARM_UP)]
    if color:
        data = numpy.pad(data, [(0, 0), (2, 2), (2, 2), (0, 0)])
        data = numpy.concatenate([data, numpy.roll(data, 1, 1), numpy.roll(data, 1, 2)], 3)
    return numpy.ascontiguousarray(data)


def jpegs():
    """As many files as the steps need."""
    found = sorted(PHOTOS.glob("*.jpg"))[: batch * (steps + WARM_UP)]
    if len(found) < batch * (steps + WARM_UP):
        sys.exit(f"{len(found)} photos are enough for {len(found) // batch - WARM_UP} steps, not for {steps}")
    return found


def ours():
    jitter = f"brightness=0.4,contrast=0.4,saturation={saturation},hue={hue}"
    drop = (',{name="color_drop",p=0.2}' if color else "") + (',{name="gaussian_blur"}' if files else "")
    views = (f'views=[{{count=2,augmentations=[{{name="random_resized_crop",scale=[0.08,1.0]}},{{name="horizontal_flip"}},'
             f'{{name="color_jitter",{jitter},p=0.8}}{drop}]}}]')
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/images.npy"
        if files:
            data = f"{folder}/photos"
            os.mkdir(data)
            for file in jpegs():
                os.symlink(file, f"{data}/{file.name}")
        else:
            numpy.save(data, images())
        command = [ROOT / "target/release/selfsame", "pretrain", "--records", f"data={data}", f"out={folder}/run", views]
        command += [f"backbone={backbone}", f"projector.hidden={hidden}", "projector.out=128", f"data.size={size}", "data.labels=none"]
        command += [f"batch_size={batch}", "epochs=1", "optimizer.warmup_epochs=0", f"threads={threads}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        times = []
        for line in process.stdout:
            if json.loads(line)["event"] == "step":
                times.append(1e3 * time.perf_counter())
                if len(times) == steps + WARM_UP:
                    process.kill()  # what follows is the judgement
        if process.wait() and len(times) < steps + WARM_UP:
            sys.exit("selfsame failed")
    return [after - before for before, after in zip(times[WARM_UP:], times[WARM_UP + 1 :])]


def lightly():
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    from torchvision.models import resnet50

    from nets import micro, resnet18

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    statistics = {"mean": [0.5] * channels, "std": [0.25] * channels}
    transform = SimCLRTransform(
        input_size=size, cj_bright=0.4, cj_contrast=0.4, cj_sat=saturation, cj_hue=hue, random_gray_scale=0.2 if color else 0,
        gaussian_blur=0.5 if files else 0, normalize=statistics)

    class Views(torch.utils.data.Dataset):
        samples = jpegs() if files else [Image.fromarray(image if color else image[..., 0]) for image in images()]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            sample = self.samples[index]
            return transform(Image.open(sample).convert("RGB") if files else sample)

    loader = torch.utils.data.DataLoader(Views(), batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)
    net = {"resnet18": resnet18, "resnet_micro": micro, "resnet50": resnet50}[backbone]()
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


if files:
    photos.save(PHOTOS, 256)
milliseconds = ours() if mode == "ours" else lightly()
# Of the process that trains; ours is a child.
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
# Batches come in bursts where views are made ahead: the mean, not the median, is the pace.
print(json.dumps({"milliseconds": [sum(milliseconds) / len(milliseconds)], "peak_mb": peak}))
