#!/usr/bin/env python3
"""The other runtimes' side of compare.py: a network at 224 px (the micro-ResNet: 28 px, gray), by PyTorch and as it exports it.

infer.py resnet18|resnet50|vit_small|resnet_micro BATCH STEPS RUNTIME THREADS   prints {"milliseconds": [...], "peak_mb": ...}
RUNTIME: pytorch, pytorch_channels_last, pytorch_compiled, onnxruntime, openvino, openvino_bf16
"""
import json, resource, sys, tempfile, time

import numpy, torch, torchvision

import nets

backbone, batch, steps, runtime, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
torch.manual_seed(0)
net = {"vit_small": nets.vit_small, "resnet_micro": nets.micro}.get(backbone) or getattr(torchvision.models, backbone)
net = net().eval()
net.fc = torch.nn.Identity()
shape = (batch, 1, 28, 28) if backbone == "resnet_micro" else (batch, 3, 224, 224)
x = numpy.random.default_rng(0).standard_normal(shape, numpy.float32)
if runtime.startswith("pytorch"):
    torch.set_num_threads(threads)
    tensor = torch.from_numpy(x)
    if runtime != "pytorch":
        net, tensor = net.to(memory_format=torch.channels_last), tensor.contiguous(memory_format=torch.channels_last)
    if runtime == "pytorch_compiled":
        net = torch.compile(net)
    forward = torch.inference_mode()(lambda: net(tensor))
else:
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        torch.onnx.export(net, (torch.from_numpy(x),), file.name, dynamo=False)
        if runtime == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(file.name, options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            forward = lambda: session.run(None, {name: x})
        else:
            import openvino

            core = openvino.Core()
            hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "bf16" if runtime.endswith("bf16") else "f32"}
            compiled = core.compile_model(core.read_model(file.name), "CPU", {**hints, "PERFORMANCE_HINT": "LATENCY"})
            forward = lambda: compiled(x)
times = []
for _ in range(steps + 3):
    start = time.perf_counter()
    forward()
    times.append((time.perf_counter() - start) * 1e3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"milliseconds": times[3:], "peak_mb": peak}))
