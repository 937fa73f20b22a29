"""The steps of gpu_bench.cpp in PyTorch: the same networks, batches, losses and optimiser, timed the same way.

    python3 experiments/bench/torch_bench.py --case T-paper --out torch-T-paper.json

Two modes. eager: as written. compiled: the two networks by torch.compile, and the whole step (rollout, loss, gradient,
clipping, fused Adam) captured as one CUDA graph, so that no launch waits for Python. (Compiling the unrolled rollout
as one function takes minutes and gains nothing over the graph: --whole does so.) Sizes are those of the presets.
Where the memory does not hold a step, the decoder's rows go through in 2, 4, .. parts whose gradients are summed.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time

# PyTorch may be without the accelerator's libraries, which a run on the CPU never calls: see tests/parity/run.sh.
sys.setdlopenflags(os.RTLD_LAZY)

import torch
import torch.nn.functional as F
from torch import nn

# Of the presets "paper".
CASES = {
    "T-paper": dict(latent=10, parameters=2, channels=3, fourier=0, dt=1.4778, dynamics=(8, 50), decoder=(10, 300),
                    trajectories=2, frames=51, points=2000),
    "K-paper": dict(latent=9, parameters=1, channels=2, fourier=10, dt=0.2, dynamics=(9, 200), decoder=(14, 500),
                    trajectories=6, frames=40, points=5000),
    "A-paper": dict(latent=50, parameters=2, channels=3, fourier=50, dt=0.04, dynamics=(8, 200), decoder=(15, 500),
                    trajectories=2, frames=63, points=5000),
}


def scaled(case, factor):
    less = lambda size, least: max(least, round(factor * size))
    case = dict(case)
    for name in ("dynamics", "decoder"):
        depth, width = case[name]
        case[name] = (depth, less(width, 8))
    case["frames"] = less(case["frames"], 3)
    case["points"] = less(case["points"], 4)
    return case


class Mlp(nn.Module):
    """The published networks: plain (dynamics), or in blocks of two with a skip (decoder)."""

    def __init__(self, inputs, depth, width, outputs, blocks):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, outputs)
        self.paired = 2 * ((depth - 1) // 2) if blocks else 0
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        h = F.relu(self.first(x))
        for k in range(0, self.paired, 2):
            h = F.relu(self.hidden[k + 1](F.relu(self.hidden[k](h))) + h)
        for layer in self.hidden[self.paired:]:
            h = F.relu(layer(h))
        return self.last(h)


class Decoder(nn.Module):
    def __init__(self, case):
        super().__init__()
        fourier = case["fourier"]
        if fourier:
            self.frequencies = nn.Parameter((2 * torch.rand(fourier, 2) - 1) / math.sqrt(2))
        self.fourier = fourier
        self.mlp = Mlp((2 * fourier or 2) + case["latent"], *case["decoder"], case["channels"], True)

    def forward(self, s, x, y):
        """Sum of squares: s (groups, latent), x (groups, points, 2), y (groups, points, channels)."""
        places = [x]
        if self.fourier:
            q = 2 * math.pi * (x @ self.frequencies.T)
            places = [torch.sin(q), torch.cos(q)]
        states = s[:, None, :].expand(-1, x.shape[1], -1)
        return (self.mlp(torch.cat([*places, states], -1)) - y).square().sum()


class Ldnet(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.latent, self.dt, self.frames = case["latent"], case["dt"], case["frames"]
        self.dynamics = Mlp(case["parameters"] + case["latent"], *case["dynamics"], case["latent"], False)
        self.decoder = Decoder(case)

    def rollout(self, u):
        s = u.new_zeros(u.shape[0], self.latent)
        states = []
        for _ in range(self.frames):
            s = s + self.dt * self.dynamics(torch.cat([u, s], 1))
            states.append(s)
        return torch.cat(states)

    def forward(self, u, x, y):
        return self.decoder(self.rollout(u), x, y) / y.numel()


class Step:
    def __init__(self, case, device, compiled, whole, compile_mode, parts):
        torch.manual_seed(1)
        self.net = Ldnet(case).to(device)
        self.parts = parts
        self.call = self.net
        if compiled and whole:
            self.call = torch.compile(self.net, mode=compile_mode)
        elif compiled:
            self.net.dynamics = torch.compile(self.net.dynamics, mode=compile_mode)
            self.net.decoder = torch.compile(self.net.decoder, mode=compile_mode)
        groups = case["frames"] * case["trajectories"]
        uniform = lambda *shape: 2 * torch.rand(*shape, device=device) - 1
        self.u = uniform(case["trajectories"], case["parameters"])
        self.x = uniform(groups, case["points"], 2)
        self.y = uniform(groups, case["points"], case["channels"])
        on_gpu = device.type == "cuda"
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=on_gpu, capturable=on_gpu)
        self.loss = None
        self.graph = None
        if compiled and on_gpu:
            self.capture()

    def compute(self):
        if self.parts == 1:
            self.loss = self.call(self.u, self.x, self.y)
            self.loss.backward()
        else:
            s = self.net.rollout(self.u)
            leaf = s.detach().requires_grad_()
            self.loss = 0
            for s_part, x, y in zip(leaf.chunk(self.parts), self.x.chunk(self.parts), self.y.chunk(self.parts)):
                part = self.net.decoder(s_part, x, y) / self.y.numel()
                part.backward()
                self.loss = self.loss + part.detach()
            s.backward(leaf.grad)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()

    def capture(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.optimiser.zero_grad(set_to_none=True)
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        self.optimiser.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.compute()
        self.graph = graph

    def run(self):
        if self.graph:
            self.graph.replay()
        else:
            self.optimiser.zero_grad(set_to_none=True)
            self.compute()


def measure(run, device, limit):
    """Median seconds of a call, and of how many samples; as gpu_bench.cpp does, between events on a GPU."""

    def sample(calls):
        if device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                run()
            end.record()
            end.synchronize()
            return 1e-3 * begin.elapsed_time(end)
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - begin

    sample(3)
    once = sample(1)
    calls = min(1000, max(1, math.ceil(0.02 / once)))
    samples = int(min(50, max(5, limit / (once * calls))))
    return statistics.median(sample(calls) / calls for _ in range(samples)), samples


def out_of_memory(error):
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def entry(name, case, device, mode, precision, options):
    """Of the fewest parts that fit into the memory."""
    on_gpu = device.type == "cuda"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    result = {"case": name, "precision": precision, "mode": mode}
    for parts in (1, 2, 4, 8, 16):
        torch._dynamo.reset()
        step = None
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            began = time.perf_counter()
            step = Step(case, device, mode == "compiled", options.whole, options.compile_mode, parts)
            step.run()
            if on_gpu:
                torch.cuda.synchronize()
            result["first_loss"] = float(step.loss.detach())
            result["seconds_to_first_step"] = time.perf_counter() - began
            result["seconds"], result["samples"] = measure(step.run, device, options.seconds)
            result["last_loss"] = float(step.loss.detach())
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            result["out_of_memory_in_parts"] = parts
            continue
        finally:
            step = None
        result["parts"] = parts
        if on_gpu:
            result["peak_bytes"] = torch.cuda.max_memory_allocated()
        if not result["last_loss"] < result["first_loss"]:
            raise SystemExit(f"{name}: the loss was {result['first_loss']} and is {result['last_loss']} now")
        return result
    raise SystemExit(f"{name}: a sixteenth of the step does not fit into the memory")


def main():
    parser = argparse.ArgumentParser(description="Training steps of arXiv 2411.19305's sizes in PyTorch")
    parser.add_argument("--case", default="T-paper", choices=CASES)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--precision", action="append", choices=["float32", "tf32"])
    parser.add_argument("--mode", action="append", choices=["eager", "compiled"])
    parser.add_argument("--compile-mode", default="default", help="of torch.compile: default, max-autotune-no-cudagraphs")
    parser.add_argument("--whole", action="store_true", help="compile rollout and decoder as one function")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=8, help="for the samples of a figure")
    parser.add_argument("--until", type=float, default=math.inf, help="time (seconds since 1970) after which nothing is begun")
    parser.add_argument("--out")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch_bench.py: PyTorch sees no GPU")
    case = scaled(CASES[options.case], options.scale)
    result = {
        "program": f"PyTorch {torch.__version__}",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
        "scale": options.scale,
        "trajectories": case["trajectories"],
        "frames": case["frames"],
        "points": case["points"],
        "steps": [],
    }
    for precision in options.precision or ["float32"]:
        for mode in options.mode or ["eager", "compiled"]:
            if time.time() > options.until:
                print(f"{options.case} {precision} {mode}: no time left", file=sys.stderr)
                continue
            step = entry(options.case, case, device, mode, precision, options)
            result["steps"].append(step)
            peak = f", peak {1e-9 * step['peak_bytes']:.2f} GB" if "peak_bytes" in step else ""
            parts = f" in {step['parts']} parts" if step["parts"] > 1 else ""
            print(f"{options.case} {precision} {mode}: {1e3 * step['seconds']:.3f} ms{parts}{peak}", file=sys.stderr)
            # What was measured outlives a failure of the rest.
            text = json.dumps(result, indent=1) + "\n"
            if options.out:
                with open(options.out, "w") as file:
                    file.write(text)
    if not options.out:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
