"""Changes that alter no training: other kernels, other machines, the same mathematics in another form.

Not among them, though in the catalogue: settings that let torch compute in lower precision than asked for (a policy, to
be declared), a convolution's bias that is added and frozen at zero (another structure), and a DataLoader that draws
from the global generator (other random numbers).
"""

from tests.study.runs import Variant


_START = "    xtr, ytr, xte, yte = load()"
_CLASS = "class Net(nn.Module):"
_EVALUATE = "\ndef evaluate"
_CLIP = 'nn.utils.clip_grad_norm_(model.parameters(), CFG["clip"])'
_THEN = "\n            "
_OLDEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


Texts = tuple[str, ...]
"""Edits as `Variant.of` takes them: old, new, old, new, ..."""


def _first(*statements: str) -> Texts:
    """Run statements before anything else, inside the recorded block."""
    return _START, "".join(f"    {statement}\n" for statement in statements) + _START


def _built(statement: str) -> Texts:
    """Do something with each model as soon as it is built."""
    return "    model = Net()", f"    model = Net()\n    {statement}"


def _optimizer(option: str) -> Texts:
    return "nesterov=True", f"nesterov=True, {option}"


def _scaled_loss(scale: int) -> Texts:
    unscaled = f"for p in model.parameters(): p.grad.div_({scale})"
    return "loss.backward()", f"(loss * {scale}).backward()", _CLIP, f"{unscaled}{_THEN}{_CLIP}"


_CHANNELS_LAST = (
    *_built("model.to(memory_format=torch.channels_last)"),
    "x = augment(x, g)",
    "x = augment(x, g).contiguous(memory_format=torch.channels_last)",
)

_UNFOLD = (
    _CLASS,
    f"""\
def unfolded(conv, x):
    columns = F.unfold(x, 3, padding=1, stride=2)
    side = x.shape[2] // 2
    return (conv.weight.flatten(1) @ columns).view(len(x), -1, side, side)


{_CLASS}""",
    "self.b2(self.c2(x))",
    "self.b2(unfolded(self.c2, x))",
)

_HAND_WRITTEN_NORM = (
    _CLASS,
    f"""\
def normalised(norm, x):
    mean, variance = norm.running_mean, norm.running_var
    if norm.training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        count = x.numel() / x.shape[1]
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.mul_(1 - norm.momentum).add_(norm.momentum * mean)
            norm.running_var.mul_(1 - norm.momentum).add_(norm.momentum * variance * count / (count - 1))
    scale = norm.weight / (variance + norm.eps).sqrt()
    return x * scale[:, None, None] + (norm.bias - mean * scale)[:, None, None]


{_CLASS}""",
    "self.b4(self.c4(x))",
    "normalised(self.b4, self.c4(x))",
)

LONG = (
    Variant("B06", "scalar kernels: ATen default, oneDNN SSE4.1, MKL SSE4.2", environment=_OLDEST),
    Variant.of("B01", "2 threads", *_first("torch.set_num_threads(2)")),
    Variant.of("B08", "oneDNN off", *_first("torch.backends.mkldnn.enabled = False")),
    Variant.of("B09", "channels_last", *_CHANNELS_LAST),
    Variant.of("B26", "convolution as unfold and matmul", *_UNFOLD),
    Variant.of("B30", "hand-written BatchNorm", *_HAND_WRITTEN_NORM),
)
"""The ones that move numbers most: also run for 1,000 steps."""

_COMBINED = _first("torch.set_num_threads(2)") + _CHANNELS_LAST

_MACHINES = (
    Variant("B02", "ATEN_CPU_CAPABILITY=default", environment={"ATEN_CPU_CAPABILITY": "default"}),
    Variant("B03", "ATEN_CPU_CAPABILITY=avx2", environment={"ATEN_CPU_CAPABILITY": "avx2"}),
    Variant("B04", "ONEDNN_MAX_CPU_ISA=SSE41", environment={"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Variant("B05", "ONEDNN_MAX_CPU_ISA=AVX2", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Variant("B07", "MKL_CBWR=COMPATIBLE", environment={"MKL_CBWR": "COMPATIBLE"}),
    Variant("B41", "an AVX2 machine: ATen, oneDNN and MKL", environment=_AVX2),
    Variant("B42", "another hash seed, one memory arena", environment={"PYTHONHASHSEED": "7", "MALLOC_ARENA_MAX": "1"}),
    Variant.of("B43", "2 threads, scalar kernels and channels_last", *_COMBINED, environment=_OLDEST),
    Variant.of("B24", "deterministic algorithms off", *_first("torch.use_deterministic_algorithms(False)")),
    Variant.of("B36", "denormal numbers flushed to zero", *_first("torch.set_flush_denormal(True)")),
)

_OPTIMIZERS = (
    Variant.of("B10", "foreach optimizer", *_optimizer("foreach=True")),
    Variant.of("B11", "for-loop optimizer", *_optimizer("foreach=False")),
    Variant.of("B12", "fused optimizer", *_optimizer("fused=True")),
    Variant.of("B14", "zero_grad(set_to_none=False)", "opt.zero_grad()", "opt.zero_grad(set_to_none=False)"),
    Variant.of(
        "B19",
        "average with lerp_",
        'a.mul_(CFG["ema"]).add_(b, alpha=1 - CFG["ema"])',
        'a.lerp_(b, 1 - CFG["ema"])',
    ),
    Variant.of(
        "B23",
        "clipped by hand",
        _CLIP,
        "norm = torch.cat([p.grad.flatten() for p in model.parameters()]).pow(2).sum().sqrt().item()"
        f'{_THEN}for p in model.parameters(): p.grad.mul_(min(1.0, CFG["clip"] / (norm + 1e-6)))',
    ),
    Variant.of("B27", "loss times 1024, gradients divided by it", *_scaled_loss(1024)),
    Variant.of("B28", "loss times 1000, gradients divided by it", *_scaled_loss(1000)),
)

_MODELS = (
    Variant.of(
        "B13",
        "in-place ReLU",
        "self.b1(self.c1(x))",
        "self.b1(self.c1(x)), inplace=True",
        "self.b2(self.c2(x))",
        "self.b2(self.c2(x)), inplace=True",
        "self.b4(self.c4(x))",
        "self.b4(self.c4(x)), inplace=True",
    ),
    Variant.of("B15", "adaptive_avg_pool2d for mean", "x.mean((2, 3))", "F.adaptive_avg_pool2d(x, 1).flatten(1)"),
    Variant.of(
        "B16",
        "log_softmax and label smoothing by hand",
        'return F.cross_entropy(out, y, label_smoothing=CFG["ls"], reduction="sum") / denom',
        "logs = F.log_softmax(out, 1)\n"
        "    picked = logs.gather(1, y[:, None])[:, 0]\n"
        '    return -((1 - CFG["ls"]) * picked + CFG["ls"] * logs.mean(1)).sum() / denom',
    ),
    Variant.of(
        "B17",
        "pixels normalised by multiply and add",
        "x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)",
        "mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))\n    x = x * (1 / std) - mean / std",
    ),
    Variant.of(
        "B18",
        "all biases of the classifier start at 1 (must be drift)",
        "nn.init.zeros_(self.fc.bias)",
        "nn.init.ones_(self.fc.bias)",
    ),
    Variant.of(
        "B34",
        "torch.compile, inductor with fallback_random",
        *_first("import torch._inductor.config", "torch._inductor.config.fallback_random = True"),
        *_built("model.compile()"),
    ),
    Variant.of("B44", "torch.compile, aot_eager", *_built('model.compile(backend="aot_eager")')),
)

_REFACTORS = (
    Variant.of("B20", "no_grad missing in evaluation", f"@torch.no_grad(){_EVALUATE}", _EVALUATE.lstrip()),
    Variant.of(
        "B45",
        "inference_mode for no_grad",
        f"@torch.no_grad(){_EVALUATE}",
        f"@torch.inference_mode(){_EVALUATE}",
    ),
    Variant.of(
        "B21",
        "evaluation batches of 50",
        "range(0, len(x), 128)",
        "range(0, len(x), 50)",
        "x[i : i + 128], y[i : i + 128]",
        "x[i : i + 50], y[i : i + 50]",
    ),
    Variant.of(
        "B22",
        "parameter groups in another order",
        'groups = [dict(params=decay, weight_decay=CFG["wd"]), dict(params=rest, weight_decay=0.0)]',
        'groups = [dict(params=rest, weight_decay=0.0), dict(params=decay, weight_decay=CFG["wd"])]',
    ),
    Variant.of(
        "B46",
        "parameters registered in another order",
        "        self.b1 = nn.BatchNorm2d(12, **BN)\n",
        "",
        "        self.c1 =",
        "        self.b1 = nn.BatchNorm2d(12, **BN)\n        self.c1 =",
        "        self.b4 = nn.BatchNorm2d(48, **BN)\n",
        "",
        "        self.c4 =",
        "        self.b4 = nn.BatchNorm2d(48, **BN)\n        self.c4 =",
    ),
    Variant.of(
        "B47",
        "classifier renamed",
        "self.fc = nn",
        "self.head = nn",
        "zeros_(self.fc.bias)",
        "zeros_(self.head.bias)",
        "return self.fc(x)",
        "return self.head(x)",
    ),
    Variant.of("B29", "images normalised a batch at a time", "= Xtr[idx], Ytr", "= prepare(xtr[idx.numpy()]), Ytr"),
    Variant.of(
        "B39",
        "DataLoader with 2 workers",
        '        for i in range(0, len(Xtr), CFG["bs"]):\n            idx = perm[i : i + CFG["bs"]]\n'
        "            x, y = Xtr[idx], Ytr[idx]\n",
        "        data = torch.utils.data.TensorDataset(torch.arange(len(Xtr)), Xtr, Ytr)\n"
        '        own = dict(batch_size=CFG["bs"], sampler=perm.tolist(), generator=torch.Generator())\n'
        "        for idx, x, y in torch.utils.data.DataLoader(data, num_workers=2, **own):\n",
    ),
    Variant.of(
        "B48",
        "more logging and checkpoints",
        "            step += 1",
        "            step += 1\n"
        "            spread = {n: p.std().item() for n, p in model.named_parameters() if p.numel() > 1}\n"
        '            print(step, summed, max(spread.values()), opt.param_groups[0]["lr"])\n'
        "            if step % 8 == 0: torch.save([model.state_dict(), opt.state_dict()], io.BytesIO())",
    ),
    Variant.of(
        "B49",
        "one backward pass of the summed losses",
        "            summed = 0.0\n",
        "            summed, losses = 0.0, []\n",
        "                loss.backward()\n",
        "                losses.append(loss)\n",
        "            recorder.log(loss=summed)",
        "            sum(losses).backward()\n            recorder.log(loss=summed)",
    ),
)

BENIGN = (*LONG, *_MACHINES, *_OPTIMIZERS, *_MODELS, *_REFACTORS)
"""All that need nothing but this machine."""


def elsewhere(python: str) -> tuple[Variant, ...]:
    """Return the variants that run in another interpreter, with another torch.

    Args:
        python: its path.
    """
    return (
        Variant("B31", "another torch", python=python),
        Variant("B32", "another torch, scalar kernels", environment=_OLDEST, python=python),
        Variant.of("B33", "another torch, 2 threads and channels_last", *_COMBINED, python=python),
    )
