"""A Llama in plain Python, from Hugging Face's files and its conventions alone: half-split rotary positions, grouped queries, SwiGLU.

It knows nothing of Thinwire: what it computes of an exported folder is what somebody else's program would.
"""
import json
import math
import pathlib
import struct


def read_tensors(path):
    """{name: (dtype, shape, floats)} of a .safetensors file, F32 or BF16."""
    data = pathlib.Path(path).read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + header_bytes]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        count = math.prod(entry["shape"])
        if entry["dtype"] == "F32":
            values = struct.unpack(f"<{count}f", data[begin:end])
        else:
            assert entry["dtype"] == "BF16", entry
            halves = struct.unpack(f"<{count}H", data[begin:end])
            values = struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *(half << 16 for half in halves)))
        tensors[name] = (entry["dtype"], entry["shape"], values)
    return tensors


def write_tensors(path, tensors):
    """{name: (shape, floats)} as F32."""
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_folder(folder):
    folder = pathlib.Path(folder)
    index = folder / "model.safetensors.index.json"
    names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]
    tensors = {}
    for name in names:
        tensors.update(read_tensors(folder / name))
    return tensors


class Llama:
    def __init__(self, folder):
        self.config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        self.tensors = {}
        for name, (_dtype, shape, values) in read_folder(folder).items():
            self.tensors[name] = [values[i:i + shape[-1]] for i in range(0, len(values), shape[-1])]
        c = self.config
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.width = c["hidden_size"] // self.heads

    @staticmethod
    def times(rows, x):
        return [sum(a * b for a, b in zip(row, x)) for row in rows]

    def norm(self, name, x):
        scale = 1 / math.sqrt(sum(v * v for v in x) / len(x) + self.config["rms_norm_eps"])
        return [v * scale * w for v, w in zip(x, self.tensors[name][0])]

    def turned(self, x, position):
        """The first half of each head turns with the second."""
        half, out = self.width // 2, []
        for head in (x[i:i + self.width] for i in range(0, len(x), self.width)):
            angles = [position * self.config["rope_theta"] ** (-2 * i / self.width) for i in range(half)]
            out += [head[i] * math.cos(a) - head[half + i] * math.sin(a) for i, a in enumerate(angles)]
            out += [head[half + i] * math.cos(a) + head[i] * math.sin(a) for i, a in enumerate(angles)]
        return out

    def attention(self, at, xs):
        t, w, d = self.tensors, self.width, range(self.width)
        q = [self.turned(self.times(t[at + "q_proj.weight"], x), i) for i, x in enumerate(xs)]
        k = [self.turned(self.times(t[at + "k_proj.weight"], x), i) for i, x in enumerate(xs)]
        v = [self.times(t[at + "v_proj.weight"], x) for x in xs]
        out = []
        for i in range(len(xs)):
            mixed = []
            for head in range(self.heads):
                own, shared = head * w, head // (self.heads // self.kv_heads) * w
                scores = [sum(q[i][own + n] * k[j][shared + n] for n in d) / math.sqrt(w) for j in range(i + 1)]
                most = max(scores)
                weights = [math.exp(score - most) for score in scores]
                total = sum(weights)
                mixed += [sum(weights[j] * v[j][shared + n] for j in range(i + 1)) / total for n in d]
            out.append(self.times(t[at + "o_proj.weight"], mixed))
        return out

    def feed_forward(self, at, x):
        gate, up = self.times(self.tensors[at + "gate_proj.weight"], x), self.times(self.tensors[at + "up_proj.weight"], x)
        return self.times(self.tensors[at + "down_proj.weight"], [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up)])

    def logits(self, tokens):
        """A row of scores for each token."""
        xs = [list(self.tensors["model.embed_tokens.weight"][token]) for token in tokens]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            attended = self.attention(at + "self_attn.", [self.norm(at + "input_layernorm.weight", x) for x in xs])
            xs = [[a + b for a, b in zip(x, y)] for x, y in zip(xs, attended)]
            fed = [self.feed_forward(at + "mlp.", self.norm(at + "post_attention_layernorm.weight", x)) for x in xs]
            xs = [[a + b for a, b in zip(x, y)] for x, y in zip(xs, fed)]
        head = self.tensors["model.embed_tokens.weight" if self.config["tie_word_embeddings"] else "lm_head.weight"]
        return [self.times(head, self.norm("model.norm.weight", x)) for x in xs]

    def loss(self, tokens):
        total = 0
        for row, target in zip(self.logits(tokens[:-1]), tokens[1:]):
            most = max(row)
            total += most + math.log(sum(math.exp(v - most) for v in row)) - row[target]
        return total / (len(tokens) - 1)

    def greedy(self, tokens, count):
        tokens = list(tokens)
        for _ in range(count):
            row = self.logits(tokens)[-1]
            tokens.append(row.index(max(row)))
        return tokens
