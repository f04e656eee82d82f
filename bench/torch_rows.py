"""PyTorch's side of the rows: torch_row(row) makes its tensors, and the network if it has one, and gives what runs it once."""
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_networks import Stdit, taef2_decoder

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


# --- ops: name -> function(shape text, dtype) -> (inputs, function of them) ------------------------------------------------------------

def sizes(text):
    return [int(n) for n in text.replace("->", "x").split("x")]


def linear(shape, dtype):
    m, k, n = sizes(shape)
    return [torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype) * 0.02, torch.randn(n, dtype=dtype)], F.linear


def matmul(shape, dtype):
    a, b = (sizes(s) for s in shape.split())
    return [torch.randn(*a, dtype=dtype), torch.randn(*b, dtype=dtype) * 0.02], torch.matmul


def layer_norm(shape, dtype):
    n, c = sizes(shape)
    return [torch.randn(n, c, dtype=dtype), torch.randn(c, dtype=dtype), torch.randn(c, dtype=dtype)], lambda x, w, b: F.layer_norm(x, (c,), w, b)


def layer_norm_modulate(shape, dtype):
    b, n, c = sizes(shape)
    inputs = [torch.randn(b, n, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype)]
    return inputs, lambda x, shift, scale: F.layer_norm(x, (c,), eps=1e-6) * (1 + scale) + shift


def gated_residual(shape, dtype):
    b, n, c = sizes(shape)
    return [torch.randn(b, n, c, dtype=dtype), torch.randn(b, 1, c, dtype=dtype), torch.randn(b, n, c, dtype=dtype)], lambda x, gate, h: x + gate * h


def group_norm_silu(shape, dtype):
    s = sizes(shape)
    return [torch.randn(*s, dtype=dtype), torch.randn(s[1], dtype=dtype), torch.randn(s[1], dtype=dtype)], lambda x, w, b: F.silu(F.group_norm(x, 32, w, b))


def gelu_tanh(shape, dtype):
    return [torch.randn(*sizes(shape), dtype=dtype)], lambda x: F.gelu(x, approximate="tanh")


def geglu(shape, dtype):
    def run(x):
        value, gate = x.chunk(2, -1)
        return value * F.gelu(gate)

    return [torch.randn(*sizes(shape), dtype=dtype)], run


def softmax(shape, dtype):
    return [torch.randn(*sizes(shape), dtype=dtype)], lambda x: F.softmax(x, -1)


def attention(shape, dtype):
    shape, _, keys = shape.partition(" keys ")
    b, h, n, d = sizes(shape)
    m = int(keys) if keys else n

    def run(q, k, v):
        part = lambda x: x.view(b, -1, h, d).transpose(1, 2)
        return F.scaled_dot_product_attention(part(q), part(k), part(v)).transpose(1, 2).reshape(b, n, h * d)

    return [torch.randn(b, n, h * d, dtype=dtype), torch.randn(b, m, h * d, dtype=dtype), torch.randn(b, m, h * d, dtype=dtype)], run


def conv2d(shape, dtype):
    n, c, h, w, o = sizes(shape)
    inputs = [torch.randn(n, c, h, w, dtype=dtype), torch.randn(o, c, 3, 3, dtype=dtype) * 0.02, torch.randn(o, dtype=dtype)]
    return inputs, lambda x, weight, bias: F.conv2d(x, weight, bias, padding=1)


def conv3d(shape, dtype):
    n, c, t, h, w, o = sizes(shape)
    inputs = [torch.randn(n, c, t, h, w, dtype=dtype), torch.randn(o, c, 3, 3, 3, dtype=dtype) * 0.02, torch.randn(o, dtype=dtype)]
    return inputs, lambda x, weight, bias: F.conv3d(x, weight, bias, padding=1)


OPS = {"linear": linear, "matmul": matmul, "layer_norm": layer_norm, "layer_norm_modulate": layer_norm_modulate, "gated_residual": gated_residual,
       "group_norm_silu": group_norm_silu, "gelu_tanh": gelu_tanh, "geglu": geglu, "softmax": softmax, "conv2d": conv2d, "conv3d": conv3d,
       "attention spatial": attention, "attention full": attention, "attention temporal": attention, "attention cross": attention}


# --- rows with a network or a file: function(row's shape, dtype, compiled) -> (network or None, what runs it once) ---------------------

def same(f):
    return f


def adamw(params):
    return torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, fused=True)


def stdit(shape, dtype, batches=1, **options):
    """The network, and x, t and captions for `batches` times the batch of the shape."""
    first, *words = shape.split()
    size = sizes(first)
    size[0] *= batches
    options |= {key: int(value) for key, value in zip(words[::2], words[1::2])}
    model = Stdit(**options).to(dtype)
    return model, torch.randn(*size), torch.full((size[0],), 500.0), torch.randn(size[0], 1, 120, options["caption"], dtype=dtype)


def training_step(network, loss, max_norm=None):
    optimizer = adamw(network.parameters())

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        if max_norm:
            torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        optimizer.step()

    return network, step


def without_graph(network, f):
    def run():
        with torch.no_grad():
            return f()

    return network, run


def stdit_step(shape, dtype, compiled=same, checkpointed=False):
    model, target, t, caption = stdit(shape, dtype, checkpointed=checkpointed)
    x, forward = torch.randn_like(target).to(dtype), compiled(model)
    return training_step(model, lambda: F.mse_loss(forward(x, t, caption), target), max_norm=1.0)


def stdit_step_checkpointed(shape, dtype, compiled=same):
    return stdit_step(shape, dtype, compiled, checkpointed=True)


def stdit_sampling(shape, dtype, compiled=same):
    model, both, t, caption = stdit(shape, dtype, batches=2)
    x, forward = both.chunk(2)[0], compiled(model)

    def guided():
        with_words, without = forward(torch.cat([x, x]).to(dtype), t, caption).chunk(2)
        return without + 7 * (with_words - without)

    return without_graph(model, guided)


def taef2(shape, dtype, compiled=same):
    decoder = taef2_decoder().to(dtype, memory_format=torch.channels_last)  # the layout in which its library is fastest
    latents, forward = torch.randn(*sizes(shape), dtype=dtype), compiled(decoder)
    return without_graph(decoder, lambda: forward(latents))


def mlp_step(shape, dtype, compiled=same):
    first, _, *hidden, _, out = shape.split()
    batch, *widths = sizes(first) + [int(n) for n in hidden] + [int(out)]
    layers = [layer for pair in zip(widths, widths[1:]) for layer in (nn.GELU(approximate="tanh"), nn.Linear(*pair))]
    network, x, target = nn.Sequential(*layers[1:]), torch.randn(batch, widths[0]), torch.randn(batch, widths[-1])
    forward = compiled(network)
    return training_step(network, lambda: F.mse_loss(forward(x), target))


def ones_added(shape):
    x = y = torch.ones(1, requires_grad=True)
    for _ in range(int(shape.split()[0])):
        y = y + 1
    return x, y


def add_one(shape, dtype, compiled=same):
    return None, lambda: ones_added(shape)


def add_one_and_gradient(shape, dtype, compiled=same):
    def run():
        x, y = ones_added(shape)
        torch.autograd.grad(y, x)

    return None, run


def stored(shape):
    from safetensors.torch import save_file

    count, *side = sizes(shape)
    folder = tempfile.TemporaryDirectory()
    weights = {str(i): torch.full(side, 0.5) for i in range(count)}
    save_file(weights, folder.name + "/weights.safetensors")
    return weights, folder


def safetensors_load(shape, dtype, compiled=same):
    from safetensors.torch import load_file

    weights, folder = stored(shape)

    def load():  # as load_state_dict does
        for name, values in load_file(folder.name + "/weights.safetensors").items():
            weights[name].copy_(values)

    return None, load


def safetensors_load_mapped(shape, dtype, compiled=same):
    from safetensors.torch import load_file

    _, folder = stored(shape)
    return None, lambda: load_file(folder.name + "/weights.safetensors")


def adamw_step(shape, dtype, compiled=same):
    count, *side = sizes(shape)
    params = [nn.Parameter(torch.full(side, 0.01)) for _ in range(count)]
    for p in params:
        p.grad = torch.randn_like(p)
    return None, adamw(params).step


RUNS = {"stdit training step": stdit_step, "stdit training step, checkpointed": stdit_step_checkpointed, "stdit sampling": stdit_sampling, "taef2 decoder": taef2,
        "mlp training step": mlp_step, "add one, recorded": add_one, "add one, recorded and gradient": add_one_and_gradient, "safetensors load": safetensors_load,
        "safetensors load, mapped": safetensors_load_mapped, "adamw": adamw_step}
COMPILED = "stdit training step", "stdit sampling", "taef2 decoder"  # and what is bound by memory


def torch_row(row, compiled=same):
    """(the network or None, what runs the row once). compiled: what is made of a function before it is called."""
    name, shape, dtype = row["name"], row["shape"], DTYPES[row["dtype"]]
    if name in RUNS:
        return RUNS[name](shape, dtype, compiled)
    op, back = name.removesuffix(" and gradient"), name.endswith(" and gradient")
    inputs, f = OPS[op](shape, dtype)
    f = compiled(f)
    if not back:
        return without_graph(None, lambda: f(*inputs))
    inputs = [x.requires_grad_() for x in inputs]
    with torch.no_grad():
        dy = f(*inputs).clone()
    return None, lambda: torch.autograd.grad(f(*inputs), inputs, dy)
