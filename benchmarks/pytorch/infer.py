#!/usr/bin/env python3
"""onnxruntime's side of compare.py: ResNet-18 at 224 px, batch 32, as torchvision exports it.

infer.py STEPS THREADS   prints {"milliseconds": [...], "peak_mb": ...}
"""
import json, resource, sys, tempfile, time

import numpy, onnxruntime, torch, torchvision

steps, threads = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
net = torchvision.models.resnet18().eval()
net.fc = torch.nn.Identity()
x = numpy.random.default_rng(0).standard_normal((32, 3, 224, 224), numpy.float32)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
    torch.onnx.export(net, (torch.from_numpy(x),), file.name, dynamo=False)
    session = onnxruntime.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
times = []
for _ in range(steps + 3):
    start = time.perf_counter()
    session.run(None, {name: x})
    times.append((time.perf_counter() - start) * 1e3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"milliseconds": times[3:], "peak_mb": peak}))
