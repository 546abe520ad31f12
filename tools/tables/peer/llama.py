"""Thinwire's Llama (models/llama.cc) as a PyTorch module: same arithmetic, same names, no biases, embeddings tied."""
import torch
from torch import nn
from torch.nn import functional as F


def rotary_tables(context, head_dim, theta=10000.0):
    """Cosines and sines (T, head_dim): the angle of pair i at position t is t theta^(-2i / head_dim); both halves carry it."""
    half = torch.arange(head_dim // 2, dtype=torch.float64)
    angle = torch.arange(context, dtype=torch.float64)[:, None] * theta ** (-2 * half / head_dim)[None, :]
    both = torch.cat([angle, angle], dim=1)
    return both.cos().float(), both.sin().float()


def turned(x, cos, sin):
    """x (B, H, T, d) by its position."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))

    def forward(self, x, cos, sin):
        batch, tokens, width = x.shape
        q, k, v = (project(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(turned(q, cos, sin), turned(k, cos, sin), v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    def __init__(self, d_model, ffn=None):
        super().__init__()
        ffn = ffn or (8 * d_model // 3 + 31) // 32 * 32
        self.gate_proj, self.up_proj = (nn.Linear(d_model, ffn, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(ffn, d_model, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = (nn.RMSNorm(d_model, eps=1e-5) for _ in range(2))
        self.self_attn, self.mlp = Attention(d_model, heads), Mlp(d_model)

    def forward(self, x, cos, sin):
        h = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return h + self.mlp(self.post_attention_layernorm(h))


class Body(nn.Module):
    def __init__(self, vocab, d_model, layers, heads):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, d_model)
        self.layers = nn.ModuleList(Block(d_model, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(d_model, eps=1e-5)


class Llama(nn.Module):
    """Mean cross entropy in nats of (B, T) tokens and targets."""

    def __init__(self, d_model, layers, heads, context, vocab=256):
        super().__init__()
        self.model = Body(vocab, d_model, layers, heads)
        cos, sin = rotary_tables(context, d_model // heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens, targets):
        hidden = self.model.embed_tokens(tokens)
        for block in self.model.layers:
            hidden = block(hidden, self.cos, self.sin)
        scores = F.linear(self.model.norm(hidden), self.model.embed_tokens.weight)
        return F.cross_entropy(scores.view(-1, scores.shape[-1]), targets.reshape(-1))
