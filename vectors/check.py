#!/usr/bin/env python3
"""Checks golden vectors from outside: linear maps, PaCA, LoRA, DoRA, MosLoRA, NF4, attention, RoPE, SwiGLU and AdamW in NumPy,
as an implementer would write them.

Every case is computed in f64, which must agree with `value`, and in f32 in NumPy's own order, which must lie within
`bound`. The linear and PaCA cases are also summed in the declared order, which must give `exact` to the bit.
Last, the digest of the whole suite is taken again. Needs numpy and safetensors. Exit code 0: all passed; 1: something failed.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

SUITE = pathlib.Path(__file__).parent / "v1"


def sequential_matmul(a, b):
    """a @ b in f32: terms added one after the other from k = 0, one rounding for each product and each sum."""
    total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        total = total + a[:, k : k + 1] * b[k : k + 1, :]
    return total


def sequential_sum(rows):
    total = np.zeros(rows.shape[1:], rows.dtype)
    for row in rows:
        total = total + row
    return total


def paca_weight(weight, adapters, dtype):
    """W with s * delta added to the selected columns, adapter after adapter; W itself is left alone."""
    effective = weight.copy()
    for indices, delta, scale, active in adapters:
        if active:
            effective[:, indices] = effective[:, indices] + dtype(scale) * delta
    return effective


def linear_case(case, t, dtype, matmul, add_up):
    """Forward and backward of a linear map; its adapters, if it has any, are PaCA's and the base is frozen."""
    x, dy = t["x"].reshape(-1, t["x"].shape[-1]), t["dy"].reshape(-1, t["dy"].shape[-1])
    configs = case["settings"].get("adapters")
    adapters = [
        (t[f"parameter.adapters.{i}.indices"], t[f"parameter.adapters.{i}.delta"], c["scale"], c["active"])
        for i, c in enumerate(configs or [])
    ]
    weight = paca_weight(t["parameter.weight"], adapters, dtype)
    bias = t.get("parameter.bias")
    y = matmul(x, weight.T)
    out = {
        "y": (y if bias is None else y + bias).reshape(*t["x"].shape[:-1], weight.shape[0]),
        "dx": matmul(dy, weight).reshape(t["x"].shape),
    }
    if configs is None:
        out["gradient.weight"] = matmul(dy.T, x)
        if bias is not None:
            out["gradient.bias"] = add_up(dy)
    for i, c in enumerate(configs or []):
        if c["active"] and c["trains"]:
            out[f"gradient.adapters.{i}.delta"] = dtype(c["scale"]) * matmul(dy.T, x[:, adapters[i][0]])
    return out


def low_rank_weight(method, weight, a, b, own, scale, matmul):
    """W + s B A, with B (M A) of MosLoRA; DoRA then gives each row its length."""
    merged = weight + scale * matmul(b, matmul(own, a) if method == "moslora" else a)
    if method != "dora":
        return merged
    return (own / np.sqrt((merged * merged).sum(axis=1)))[:, None] * merged


def dora_dropout_case(case, t, dtype, matmul):
    """One adapter that sees kept(x) alone, and adds c * (W x' + s B A x') - W x' to W x."""
    x, dy, weight = t["x"], t["dy"], t["parameter.weight"]
    a, b, m = (t[f"parameter.adapters.0.{name}"] for name in ("a", "b", "magnitude"))
    scale = dtype(case["settings"]["adapters"][0]["scale"])
    kept = t["mask"] * dtype(1 / (1 - case["settings"]["dropout"]))
    seen = x * kept
    base, h = matmul(seen, weight.T), matmul(seen, a.T)
    u = base + scale * matmul(h, b.T)
    norm = np.sqrt((low_rank_weight("lora", weight, a, b, None, scale, matmul) ** 2).sum(axis=1))
    du = m / norm * dy
    back = matmul(du, b)
    return {
        "y": matmul(x, weight.T) + (m / norm * u - base) + t["parameter.bias"],
        "dx": matmul(dy, weight) + kept * (matmul(du - dy, weight) + scale * matmul(back, a)),
        "gradient.adapters.0.a": scale * matmul(back.T, seen),
        "gradient.adapters.0.b": scale * matmul(du.T, h),
        "gradient.adapters.0.magnitude": (dy * u).sum(axis=0) / norm,
    }


def low_rank_case(case, t, dtype, matmul, _):
    """Each adapter as a step z -> c * (z + s * chain(x)), c = 1 but for DoRA; backwards through the same steps."""
    if "mask" in t:
        return dora_dropout_case(case, t, dtype, matmul)
    method = case["id"].split("/")[0]
    x, dy, weight = t["x"], t["dy"], t["parameter.weight"]
    bias = t.get("parameter.bias", dtype(0))
    steps, out = [], {}
    z = matmul(x, weight.T)
    for i, c in enumerate(case["settings"]["adapters"]):
        own = {name: t.get(f"parameter.adapters.{i}.{name}") for name in ("a", "b", "mixer", "magnitude")}
        if not c["active"]:
            continue
        h = matmul(x, own["a"].T)
        mixed = h if method != "moslora" else matmul(h, own["mixer"].T)
        u = z + dtype(c["scale"]) * matmul(mixed, own["b"].T)
        direction = low_rank_weight("lora", weight, own["a"], own["b"], None, dtype(c["scale"]), matmul)
        norm = np.sqrt((direction * direction).sum(axis=1))
        factor = own["magnitude"] / norm if method == "dora" else np.ones_like(norm)
        z = factor * u
        steps.append((i, c, own, h, mixed, u, norm, factor))
    out["y"] = z + bias
    g, dx = dy, dtype(0)
    for i, c, own, h, mixed, u, norm, factor in reversed(steps):
        scale = dtype(c["scale"])
        gradient = {"magnitude": (g * u).sum(axis=0) / norm}
        g = factor * g
        back = matmul(g, own["b"])
        gradient["b"] = scale * matmul(g.T, mixed)
        if method == "moslora":
            gradient["mixer"] = scale * matmul(back.T, h)
            back = matmul(back, own["mixer"])
        gradient["a"] = scale * matmul(back.T, x)
        dx = dx + scale * matmul(back, own["a"])
        trained = [name for name in own if own[name] is not None and not (name == "a" and c["freezeA"])]
        if c["trains"]:
            out.update({f"gradient.adapters.{i}.{name}": gradient[name] for name in trained})
    out["dx"] = matmul(g, weight) + dx
    return out


def low_rank_merge_case(case, t, dtype, matmul, _):
    own = t.get("magnitude", t.get("mixer"))
    scale = dtype(case["settings"]["scale"])
    method = case["id"].split("/")[0]
    return {"merged": low_rank_weight(method, t["weight"], t["a"], t["b"], own, scale, matmul)}


NF4_LEVELS = np.array(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334]
    + [-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    + [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0],
    np.float32,
)


def absmax_map():
    """The 8-bit dynamic map; `linspace` takes each half from its own end, product and sum rounded as one."""
    values = [np.float32(0), np.float32(1)]
    for i in range(7):
        n = 2**i + 1
        start, step = np.float32(0.1), (np.float32(1) - np.float32(0.1)) / np.float32(n - 1)
        half = [float(start) + float(step) * j if j < n // 2 else 1 - float(step) * (n - 1 - j) for j in range(n)]
        points = np.array(half, np.float32)
        middles = np.float32(10.0 ** (i - 6)) * ((points[:-1] + points[1:]) / np.float32(2))
        values += [*middles, *-middles]
    return np.sort(np.array(values, np.float32))


def nf4_weight(case, t):
    """The values in f32, whatever the arithmetic of what follows."""
    shape = case["settings"]["shape"]
    pairs = t["codes"].astype(np.uint8)
    codes = np.stack([pairs >> 4, pairs & 15], axis=1).reshape(-1)[: shape[0] * shape[1]]
    f32 = {name: t[name].astype(np.float32) for name in ("nested", "offset")}
    nested = np.repeat(f32["nested"], 256)[: t["absmax"].size]
    absmax = absmax_map()[t["absmax"]] * nested + f32["offset"]
    return (NF4_LEVELS[codes] * np.repeat(absmax, 64)[: codes.size]).reshape(shape)


def nf4_case(case, t, dtype, matmul, add_up):
    weight = nf4_weight(case, t)
    if case["id"] == "nf4/dequantise":
        return {"values": weight.astype(dtype)}
    method = case["id"].removeprefix("nf4/").removesuffix("-linear")
    settings = {"adapters": [{"freezeA": False, **adapter} for adapter in case["settings"]["adapters"]]}
    inner = {"id": f"{method}/linear", "settings": settings}
    formula = linear_case if method == "paca" else low_rank_case
    return formula(inner, {**t, "parameter.weight": weight.astype(dtype)}, dtype, matmul, add_up)


def merge_case(case, t, dtype, *_):
    adapter = (t["indices"], t["delta"], case["settings"]["scale"], True)
    return {"merged": paca_weight(t["weight"], [adapter], dtype), "restored": t["weight"]}


def seen(queries, keys, causal, window, starts=None):
    """Whether query i, at position keys - queries + i, sees key j: not one before the start of its document."""
    position = np.arange(keys - queries, keys)[:, None]
    key = np.arange(keys)[None, :]
    if not causal:
        return np.ones((queries, keys), bool)
    near = (key <= position) & (key > position - (keys if window is None else window))
    return near if starts is None else near & (key >= starts[:, None, :, None])


def attention_case(case, t, dtype, *_):
    """Head by head, each with its own copy of the keys and values of its group; summed over the group at the end."""
    s = case["settings"]
    of_group = s["heads"] // s["groups"]
    q, dy = (t[name].transpose(0, 2, 1, 3) for name in ("q", "dy"))
    k, v = (np.repeat(t[name].transpose(0, 2, 1, 3), of_group, axis=1) for name in ("k", "v"))
    scale = dtype(s["scale"])
    sees = seen(q.shape[2], k.shape[2], s["causal"], s["window"], t.get("starts"))
    scores = np.where(sees, scale * (q @ k.swapaxes(2, 3)), -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p = powers / powers.sum(axis=-1, keepdims=True)
    dp = dy @ v.swapaxes(2, 3)
    ds = scale * p * (dp - (p * dp).sum(axis=-1, keepdims=True))

    def of_groups(x):
        batch, _, keys, width = x.shape
        return x.reshape(batch, s["groups"], of_group, keys, width).sum(axis=2).transpose(0, 2, 1, 3)

    return {
        "y": (p @ v).transpose(0, 2, 1, 3),
        "dq": (ds @ k).transpose(0, 2, 1, 3),
        "dk": of_groups(ds.swapaxes(2, 3) @ q),
        "dv": of_groups(p.swapaxes(2, 3) @ dy),
    }


def rope_case(case, t, dtype, *_):
    """Pairs (i, i + width/2) as complex numbers, times cos + i sin at each token's place in its document."""
    tokens, half = t["x"].shape[1], t["x"].shape[3] // 2
    places = np.arange(tokens)[None, :] - t.get("starts", 0)
    turn = (t["parameter.cos"] + 1j * t["parameter.sin"])[places][:, :, None, :]

    def turned(x, by):
        z = (x[..., :half] + 1j * x[..., half:]) * by
        return np.concatenate([z.real, z.imag], axis=-1)

    return {"y": turned(t["x"], turn), "dx": turned(t["dy"], turn.conj())}


def swiglu_case(case, t, dtype, *_):
    gate, up, dy = t["gate"], t["up"], t["dy"]
    logistic = dtype(1) / (dtype(1) + np.exp(-gate))
    slope = logistic * (dtype(1) + gate * (dtype(1) - logistic))
    return {"y": gate * logistic * up, "dgate": dy * up * slope, "dup": dy * gate * logistic}


def adamw_case(case, t, dtype, *_):
    """Three steps of AdamW with decay towards 0, or towards -column where the case has one."""
    s = case["settings"]
    out = {}
    for name in ("a", "b"):
        theta = t[f"parameter.{name}"]
        target = -t[f"column.{name}"] if f"column.{name}" in t else dtype(0)
        m, v = np.zeros_like(theta), np.zeros_like(theta)
        for step in range(3):
            g = t[f"gradient.{step}.{name}"]
            m = dtype(s["beta1"]) * m + dtype(1 - s["beta1"]) * g
            v = dtype(s["beta2"]) * v + dtype(1 - s["beta2"]) * g * g
            unbiased_m = m / dtype(1 - s["beta1"] ** (step + 1))
            unbiased_v = v / dtype(1 - s["beta2"] ** (step + 1))
            direction = unbiased_m / (np.sqrt(unbiased_v) + dtype(s["epsilon"]))
            theta = theta - dtype(s["learningRate"]) * (direction + dtype(s["decay"]) * (theta - target))
            out[f"step.{step}.{name}"] = theta
    return out


def formula_of(case_id):
    if case_id == "paca/merge":
        return merge_case
    if case_id.startswith(("layers/linear", "paca/linear")):
        return linear_case
    if case_id.startswith(("lora/", "dora/", "moslora/")):
        return low_rank_merge_case if case_id.endswith("/merge") else low_rank_case
    if case_id.startswith("nf4/") and case_id != "nf4/quantise":
        return nf4_case
    others = {
        "layers/attention": attention_case,
        "layers/rope": rope_case,
        "layers/swiglu": swiglu_case,
        "optimizers/adam": adamw_case,
    }
    return next((formula for prefix, formula in others.items() if case_id.startswith(prefix)), None)


def group(tensors, prefix):
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(prefix + "/")}


def as_type(tensors, dtype):
    return {name: t.astype(dtype) if t.dtype.kind == "f" else t for name, t in tensors.items()}


def faults(case, tensors):
    """What is wrong, in words; nothing if all is well."""
    formula = formula_of(case["id"])
    inputs, value, bound, exact = (group(tensors, p) for p in ("input", "value", "bound", "exact"))
    f64 = formula(case, as_type(inputs, np.float64), np.float64, np.matmul, lambda rows: rows.sum(axis=0))
    f32 = formula(case, inputs, np.float32, np.matmul, lambda rows: rows.sum(axis=0))
    in_order = formula(case, inputs, np.float32, sequential_matmul, sequential_sum)
    if set(f64) != set(value):
        yield f"outputs {sorted(f64)}, expected {sorted(value)}"
        return
    for name, expected in value.items():
        if not f64[name].shape == f32[name].shape == in_order[name].shape == expected.shape:
            yield f"{name}: shape {f32[name].shape}, expected {expected.shape}"
            continue
        if not np.allclose(f64[name], expected, rtol=1e-13, atol=1e-14):
            yield f"{name}: f64 differs by {np.abs(f64[name] - expected).max():.3g}"
        if f32[name].dtype != np.float32 or not (np.abs(f32[name] - expected) <= bound[name]).all():
            yield f"{name}: f32 lies outside its bound"
        if formula in (linear_case, merge_case) and in_order[name].tobytes() != exact[name].tobytes():
            yield f"{name}: the bits of the declared order differ"


def digest(manifest):
    """SHA-256 over the bytes of all exact tensors, cases and outputs in the manifest's order."""
    total = hashlib.sha256()
    for case in manifest["cases"]:
        tensors = load_file(SUITE / case["file"])
        for name in case["outputs"]:
            total.update(tensors[f"exact/{name}"].tobytes())
    return total.hexdigest()


def main():
    manifest = json.loads((SUITE / "manifest.json").read_text())
    cases = [c for c in manifest["cases"] if formula_of(c["id"])]
    failed = 0
    for case in cases:
        found = list(faults(case, load_file(SUITE / case["file"])))
        failed += bool(found)
        print(f"{'FAILED' if found else 'passed'}  {case['id']}", *found, sep="\n        " if found else "")
    same = digest(manifest) == manifest["digest"]
    failed += not same
    print(f"{'passed' if same else 'FAILED'}  digest")
    print(f"{len(cases) + 1 - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
