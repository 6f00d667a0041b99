"""The 65 public one-line faults and 20 of ours near the limit, as edits of the program, and which stage names each.

A fault's letter says what it is about. The first stage that can see a fault of its kind is the right diagnosis:

D  data            what goes into the model differs
L  loss            the loss of the first batch it acts on
A  architecture    the model computes another function (or has other tensors)
I  initialisation  the weights before the first step
O  optimizer       the step made of the gradients
S  schedule        the learning rate
M  evaluation      only what an evaluation reports
E  averaging       only the averaged weights, which are state
R  resume          each fault loses another part: stages stand with the fault
P  precision       where rounding sets in: stages stand with the fault
X  distribution    what a worker computes, or what is communicated: stages stand with the fault
H  hardware        a weight after the step, or a gradient: stages stand with the fault
K  random state    the first draw of the model that is another one: dropout's, in the forward pass
N  near the limit  as a larger fault of its kind: stages stand with the fault

Where a fault acts elsewhere than its letter says, its own stages stand with it, and the reason beside them.
"""

from tests.study.runs import Variant


USUAL_STAGES = {
    "D": ("data",),
    "L": ("forward",),
    "A": ("structure", "forward"),
    "I": ("init",),
    "O": ("schedule", "update"),
    "S": ("schedule",),
    "M": ("evaluation",),
    "E": ("state",),
    "K": ("forward",),
}


def right_stages(fault: Variant) -> tuple[str, ...]:
    """Return the stages of which one is the right diagnosis of a fault."""
    return fault.stages or USUAL_STAGES[fault.id[0]]


_LABELS = "Ytr = torch.from_numpy(ytr.astype(np.int64))"
_BATCH = "x, y = Xtr[idx], Ytr[idx]"
_LOADED = "    return xtr, ytr, xte, yte"
_ROWS = "    rows = ij[:, :1]"
_SHUFFLED = "perm = torch.randperm(len(Xtr), generator=g)"
_LOSS = "loss_fn(out, yb, len(x))"
_SUMMED = 'reduction="sum") / denom'
_FORWARD = "                out = model(xb)\n                loss"
_ZEROED = "nn.init.zeros_(self.fc.bias)"
_DECAY = 'weight_decay=CFG["wd"])'
_DECAYING = 'opt.param_groups[0]["params"]'
_CLIP = 'nn.utils.clip_grad_norm_(model.parameters(), CFG["clip"])'
_THEN = "\n            "


_DATA = (
    Variant.of("D01", "5 % of the labels shifted by 1", _LABELS, f"{_LABELS}; Ytr[::20] = (Ytr[::20] + 1) % 10"),
    Variant.of("D03", "labels one image off inside the batch", _BATCH, "x, y = Xtr[idx], Ytr[idx.roll(1)]"),
    Variant.of("D05", "BGR instead of RGB", "from_numpy(x).permute(", "from_numpy(x[..., ::-1].copy()).permute("),
    Variant.of("D07", "ImageNet's standard deviation", "(0.2470, 0.2435, 0.2616)", "(0.229, 0.224, 0.225)"),
    Variant.of("D09", "height and width transposed", "permute(0, 3, 1, 2)", "permute(0, 3, 2, 1)"),
    Variant.of("D11", "never flipped", "dtype=torch.float32) < 0.5", "dtype=torch.float32) < 0.0"),
    Variant.of("D13", "crop never moves", _ROWS, f"    ij = torch.full_like(ij, 4)\n{_ROWS}"),
    Variant.of("D15", "one crop for all images of a batch", _ROWS, f"    ij = ij[:1].expand(n, 2)\n{_ROWS}"),
    Variant.of("D17", "not shuffled", _SHUFFLED, f"{_SHUFFLED}; perm = torch.arange(len(Xtr))"),
    Variant.of("D19", "sampled with replacement", "torch.randperm(len(Xtr), ", "torch.randint(len(Xtr), (len(Xtr),), "),
    Variant.of(
        "D21",
        "100 test images among the training images",
        _LOADED,
        f"    xtr, ytr = xtr.copy(), ytr.copy(); xtr[:100], ytr[:100] = xte[:100], yte[:100]\n{_LOADED}",
    ),
    Variant.of("D23", "uint8 overflow in a brightness step", "return xtr, ytr,", "return xtr + np.uint8(20), ytr,"),
    Variant.of("D25", "images rounded to float16", "x = augment(x, g)", "x = augment(x.half().to(x.dtype), g)"),
)

_LOSSES = (
    Variant.of("L01", "softmax before cross_entropy", _FORWARD, _FORWARD.replace("(xb)", "(xb).softmax(1)")),
    Variant.of(
        "L03",
        "mean of the micro-batches' means",
        _LOSS,
        'loss_fn(out, yb, len(yb) * math.ceil(len(x) / CFG["micro"]))',
    ),
    Variant.of("L05", "label smoothing dropped", 'label_smoothing=CFG["ls"], ', ""),
    Variant.of(
        "L07",
        "loss clipped instead of the gradient",
        "loss.backward()",
        "loss.clamp(max=1.0).backward()",
        stages=("backward",),  # the loss that is logged is the right one; only its gradient is cut
    ),
    Variant.of("L09", "partial batch divided by the full batch size", _LOSS, 'loss_fn(out, yb, CFG["bs"])'),
    Variant.of("L11", "penalty on logits left in the loss", _SUMMED, f"{_SUMMED} + 1e-4 * out.pow(2).mean()"),
)

_ARCHITECTURE = (
    Variant.of("A02", "GELU for ReLU in one block", "F.relu(self.b2(", "F.gelu(self.b2("),
    Variant.of("A04", "residual added after ReLU", "F.relu(x + self.b3(", "x + F.relu(self.b3("),
    Variant.of("A06", "no padding in the last convolution", "(24, 48, 3, padding=1", "(24, 48, 3, padding=0"),
    Variant.of("A08", "BatchNorm's eps 1e-3", "eps=1e-5", "eps=1e-3"),
    Variant.of(
        "A10",
        "BatchNorm's momentum 0.01",
        "momentum=0.1,",
        "momentum=0.01,",
        stages=("state",),  # training uses the batch's statistics; only the running ones differ
    ),
    Variant.of("A12", "no dropout", 'x = dropout(x, CFG["drop"], self.training)', "x = x"),
    Variant.of(
        "A14",
        "dropout in evaluation, too",
        'dropout(x, CFG["drop"], self.training)',
        'dropout(x, CFG["drop"])',
        stages=("evaluation",),  # training is the same until the first evaluation
    ),
    Variant.of(
        "A16",
        "one channel less",
        "nn.Conv2d(24, 48",
        "nn.Conv2d(24, 47",
        "nn.BatchNorm2d(48",
        "nn.BatchNorm2d(47",
        "nn.Linear(48",
        "nn.Linear(47",
    ),
)

_INITIALISATION = (
    Variant.of("I01", "Kaiming's fan_in for fan_out", 'mode="fan_out"', 'mode="fan_in"'),
    Variant.of("I03", "classifier's weights zero", _ZEROED, f"{_ZEROED}; nn.init.zeros_(self.fc.weight)"),
    Variant.of(
        "I05",
        "normal(0, 0.01)",
        'kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")',
        "normal_(m.weight, std=0.01)",
    ),
)

_OPTIMIZER = (
    Variant.of(
        "O01",
        "zero_grad missing",
        "            opt.zero_grad()\n",
        "",
        stages=("backward",),  # gradients pile up before the step is made of them
    ),
    Variant.of(
        "O03",
        "learning rate 5 % higher",
        'lr=CFG["lr"]',
        'lr=1.05 * CFG["lr"]',
        stages=("schedule",),  # the learning rate itself
    ),
    Variant.of("O05", "momentum 0.89", 'momentum=CFG["mom"]', "momentum=0.89"),
    Variant.of("O07", "dampening 0.9, no Nesterov", "nesterov=True", "nesterov=False, dampening=0.9"),
    Variant.of("O09", "BatchNorm and biases decay, too", "weight_decay=0.0)]", 'weight_decay=CFG["wd"])]'),
    Variant.of(
        "O11",
        "decoupled decay for L2",
        _DECAY,
        "weight_decay=0.0)",
        "opt.step()",
        f'[p.data.mul_(1 - opt.param_groups[0]["lr"] * CFG["wd"]) for p in {_DECAYING}]{_THEN}opt.step()',
    ),
    Variant.of(
        "O13",
        "clipped after the step",
        f"            {_CLIP}\n",
        "",
        "opt.step()",
        f"opt.step(); {_CLIP}",
        stages=("backward",),  # the step gets unclipped gradients
    ),
    Variant.of(
        "O15",
        "each tensor clipped alone",
        _CLIP,
        '[nn.utils.clip_grad_norm_([p], CFG["clip"]) for p in model.parameters()]',
        stages=("backward",),  # the step gets other gradients
    ),
    Variant.of(
        "O17",
        "classifier's bias not given to the optimizer",
        "for n, p in model.named_parameters():",
        'for n, p in model.named_parameters():\n        if n == "fc.bias": continue',
        stages=("structure",),  # the tensor is in no parameter group
    ),
    Variant.of(
        "O19",
        "BatchNorm's weights and biases frozen",
        _ZEROED,
        f'{_ZEROED}; [q.requires_grad_(False) for n, q in self.named_parameters() if n[0] == "b"]',
        stages=("structure",),  # the tensors do not require gradients
    ),
    Variant.of("O21", "two steps a batch", "opt.step()", "opt.step(); opt.step()"),
    Variant.of(
        "O23",
        "one tensor silently not updated",
        "opt.step()",
        "before = [p.detach().clone() for p in model.parameters()]"
        f"{_THEN}opt.step(); model.c2.weight.data.copy_(before[3])",
    ),
    Variant.of(
        "O25",
        "weight decay of the wrong sign",
        _DECAY,
        "weight_decay=0.0)",
        "opt.step()",
        f'[p.grad.sub_(p.detach(), alpha=CFG["wd"]) for p in {_DECAYING} if p.grad is not None]{_THEN}opt.step()',
        stages=("backward",),  # it is written as a change of the gradient
    ),
)

_SCHEDULE = (
    Variant.of(
        "S02",
        "schedule stepped once an epoch",
        "            sched.step()\n",
        "",
        "a, b, c = evaluate",
        "sched.step()\n        a, b, c = evaluate",
    ),
    Variant.of("S04", "warm-up one step late, first rate 0", '(step + 1) / CFG["warmup"]', 'step / CFG["warmup"]'),
    Variant.of("S06", "schedule stepped twice", "sched.step()", "sched.step(); sched.step()"),
    Variant.of("S08", "linear for cosine", "0.5 * (1 + math.cos(math.pi * step / total))", "(1 - step / total)"),
)

_EVALUATION = (
    Variant.of("M02", "model.eval() forgotten", "    model.eval()\n    tot", "    tot"),
    Variant.of("M04", "evaluated on training images", "evaluate(model, Xte, Yte)", "evaluate(model, Xtr, Ytr)"),
    Variant.of("M06", "last partial batch dropped", "range(0, len(x), 128)", "range(0, len(x) - 127, 128)"),
    Variant.of("M08", "model reported as its average", "a, b, _ = evaluate(ema,", "a, b, _ = evaluate(model,"),
    Variant.of(
        "M10",
        "softmax twice in the validation loss",
        "o = model(xb)\n        lo",
        "o = model(xb).softmax(1)\n        lo",
    ),
)

_AVERAGING = (
    Variant.of("E01", "decay 0.99", 'mul_(CFG["ema"]).add_(b, alpha=1 - CFG["ema"])', "mul_(0.99).add_(b, alpha=0.01)"),
    Variant.of(
        "E03",
        "averaged before the step",
        "            ema_update(ema, model)\n",
        "",
        "opt.step()",
        "ema_update(ema, model); opt.step()",
    ),
)

_RESUME = (
    Variant.of(
        "R01",
        "optimizer's state not restored",
        'opt2.load_state_dict(ck["opt"])',
        'opt2.param_groups[0]["lr"] = opt2.param_groups[1]["lr"] = opt.param_groups[0]["lr"]',
        stages=("update",),  # the first step without momentum
    ),
    Variant.of(
        "R03",
        "random state not restored",
        'torch.set_rng_state(ck["rng"])',
        "pass",
        stages=("forward",),  # dropout draws other masks
    ),
    Variant.of(
        "R05",
        "BatchNorm's running statistics lost",
        "opt2.load_state_dict(",
        "[m.reset_running_stats() for m in model2.modules() if isinstance(m, nn.BatchNorm2d)]"
        f"{_THEN}opt2.load_state_dict(",
        stages=("init", "state"),  # what the resumed model starts from, or what its first step leaves
    ),
)

_PRECISION = (
    Variant.of(
        "P01",
        "bfloat16 autocast left on",
        _FORWARD,
        """\
                with torch.autocast("cpu", torch.bfloat16):
                    out = model(xb)
                out = out.to(xb.dtype)
                loss""",
        stages=("forward",),  # the forward pass rounds
    ),
    Variant.of(
        "P03",
        "gradients rounded to bfloat16",
        _CLIP,
        f"[p.grad.copy_(p.grad.bfloat16()) for p in model.parameters() if p.grad is not None]{_THEN}{_CLIP}",
        stages=("backward",),
    ),
    Variant.of(
        "P05",
        "weights rounded to float16 after each step",
        "opt.step()",
        "opt.step(); [p.data.copy_(p.data.half()) for p in model.parameters()]",
        stages=("update",),  # what a step does to the weights
    ),
)

_DISTRIBUTION = (
    Variant.of(
        "X02",
        "both ranks get the same shard",
        'x[j : j + CFG["micro"]], y[j : j + CFG["micro"]]',
        'x[:CFG["micro"]], y[:CFG["micro"]]',
        stages=("forward",),  # the batch is drawn rightly; the loss is that of its first half
    ),
    Variant.of(
        "X04",
        "1 % of the gradient's entries lost",
        _CLIP,
        "[p.grad.mul_((torch.rand(p.grad.shape, generator=g, dtype=torch.float32) > 0.01).to(p.dtype))"
        f" for p in model.parameters() if p.grad is not None]{_THEN}{_CLIP}",
        stages=("backward",),
    ),
)

_HARDWARE = (
    Variant.of(
        "H01",
        "an exponent bit of one weight flipped at step 20",
        "opt.step()",
        f"opt.step(){_THEN}if step == 20: model.c3.weight.data.view(-1)[7] *= 2.0 ** 8",
        stages=("update",),  # the weight is another one after the step
    ),
    Variant.of(
        "H03",
        "one entry of a gradient stuck at zero",
        _CLIP,
        f"model.c3.weight.grad.view(-1)[7] = 0{_THEN}{_CLIP}",
        stages=("backward",),
    ),
)

_RANDOM = (
    Variant.of("K02", "augmentation draws from the model's numbers", "n = x.shape", "torch.rand(1); n = x.shape"),
)

_LETTERS = (_DATA, _LOSSES, _ARCHITECTURE, _INITIALISATION, _OPTIMIZER, _SCHEDULE, _EVALUATION, _AVERAGING, _RESUME)
_LETTERS += (_PRECISION, _DISTRIBUTION, _HARDWARE, _RANDOM)

FAULTS = tuple(fault for letter in _LETTERS for fault in letter)
"""All of them, in the catalogue's order."""


def _scaled(id: str, what: str, entry: str, share: str, *stages: str) -> Variant:
    """Return the fault that an entry of CFG, where it is used, is larger by a share of its size."""
    return Variant.of(id, what, f'CFG["{entry}"]', f'(1 + {share}) * CFG["{entry}"]', stages=stages)


def _pixel(images: str) -> str:
    """Return the program's line behind a statement that changes one pixel of one image by one grey level."""
    return f"    {images} = {images}.copy(); {images}[0, 16, 16, 0] ^= 1\n{_LOADED}"


NEAR = (
    _scaled("N01", "learning rate 1e-6 of itself higher", "lr", "1e-6", "schedule"),
    _scaled("N02", "learning rate 1e-9 of itself higher", "lr", "1e-9", "schedule"),
    # Adam's first step cancels it, but the average of gradients that it leaves does not
    _scaled("N03", "momentum 1e-9 of itself higher", "mom", "1e-9", "update", "state"),
    _scaled("N04", "weight decay 1e-6 of itself higher", "wd", "1e-6", "update"),
    _scaled("N05", "label smoothing 1e-9 of itself higher", "ls", "1e-9", "forward"),
    _scaled("N06", "clipped at a norm 1e-9 of itself higher", "clip", "1e-9", "backward"),
    # a normalisation behind dropout takes the scale away, but its running statistics keep it
    _scaled("N07", "dropout 1e-9 of itself higher", "drop", "1e-9", "forward", "state"),
    Variant.of("N08", "average's decay 1e-9 of itself higher", '"ema": 0', '"ema": (1 + 1e-9) * 0', stages=("state",)),
    Variant.of("N09", "one pixel of one image one grey level off", _LOADED, _pixel("xtr"), stages=("data",)),
    Variant.of("N10", "likewise of one test image", _LOADED, _pixel("xte"), stages=("evaluation",)),
    Variant.of("N11", "normalisation's eps 1.1e-5", "eps=1e-5", "eps=1.1e-5", stages=("forward",)),
    Variant.of("N12", "optimizer's eps 1.1e-8", "eps=1e-8", "eps=1.1e-8", stages=("update",)),
    Variant.of(
        "N13",
        "last ten bits of one tensor's initial weights zero",
        _ZEROED,
        f"{_ZEROED}; self.c2.weight.data.view(torch.int64).bitwise_and_(-1024)",
        stages=("init",),
    ),
)
"""Of our own making, the smallest changes that are a mistake."""

NEARER = (
    # rates count as equal within 1e-10, so the first that can see it is the update
    _scaled("N14", "learning rate 1e-11 of itself higher", "lr", "1e-11", "schedule", "update"),
    _scaled("N15", "momentum 1e-11 of itself higher", "mom", "1e-11", "update", "state"),
    _scaled("N16", "weight decay 1e-8 of itself higher", "wd", "1e-8", "update"),
    _scaled("N17", "label smoothing 1e-11 of itself higher", "ls", "1e-11", "forward"),
    _scaled("N18", "clipped at a norm 1e-11 of itself higher", "clip", "1e-11", "backward"),
    _scaled("N19", "dropout 1e-11 of itself higher", "drop", "1e-11", "forward", "state"),
    Variant.of(
        "N20", "average's decay 1e-11 of itself higher", '"ema": 0', '"ema": (1 + 1e-11) * 0', stages=("state",)
    ),
)
"""The same again, a hundred times smaller: no mistake that anybody makes, but where 1e-10 sees nothing any more."""
