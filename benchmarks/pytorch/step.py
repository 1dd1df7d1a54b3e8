#!/usr/bin/env python3
"""PyTorch's side of compare.py: the same training steps as crates/selfsame/examples/workloads.rs.

step.py w1|w2|w3|w4|w5|w6|w7 STEPS f32|f32_channels_last|f32_compiled|bf16 [THREADS]   prints {"milliseconds": [...], "user_s": per step, "peak_mb": ...}
"""
import json, os, resource, sys, time

import torch

from nets import mae, micro, resnet18, resnet1d_18, resnet50, vit, vit_small

workload, steps, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else torch.get_num_threads())
torch.manual_seed(0)

photos = (32, 3, 224, 224)
net, shape = {
    "w1": (resnet18, (64, 3, 32, 32)),
    "w2": (micro, (256, 1, 28, 28)),
    "w3": (vit, (64, 3, 32, 32)),
    "w4": (resnet50, photos),
    "w5": (vit_small, photos),
    "w6": (mae, photos),
    "w7": (resnet1d_18, (64, 12, 1000)),
}[workload]
net = net().train()
x = torch.randn(*shape)
# A series has one memory format.
if mode != "f32" and x.dim() == 4:
    net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
parameters = list(net.parameters())
if mode == "f32_compiled":
    net = torch.compile(net)
optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=5e-4)
times = []
for step in range(steps + 3):
    if step == 3:
        user = os.times().user
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bf16"):
        loss = net(x).float().square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    times.append((time.perf_counter() - start) * 1e3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"milliseconds": times[3:], "user_s": (os.times().user - user) / steps, "peak_mb": peak}))
