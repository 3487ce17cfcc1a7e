#!/usr/bin/env python3
"""Loads exported weights in PyTorch under the ODMT authors' names and compares logits with their numbers.

    python tests/torch_export.py weights.safetensors tests/fixtures/odmt_parity_v1.safetensors

The test `exported_weights_load_in_pytorch_and_give_the_authors_logits` runs it. Needs torch, numpy and safetensors. The
modules below are written from the model's description (docs/odmt.md, sections 2 and 3); their parameter names are the authors'. Exit
status 1 on any difference.
"""
import math
import sys

import torch
from safetensors.torch import load_file
from torch import nn

D, F, TEXT, IMAGE, S, HEADS = 16, 24, 4, 3, 5, 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.w_Q = nn.Linear(D, D, bias=False)
        self.w_K = nn.Linear(D, D, bias=False)
        self.w_V = nn.Linear(D, D, bias=False)
        self.fc = nn.Linear(D, D, bias=False)
        self.layer_norm = nn.LayerNorm(D, eps=1e-6)

    def forward(self, x, mask):
        n, length, _ = x.shape
        split = lambda y: y.view(n, length, HEADS, D // HEADS).transpose(1, 2)
        q, k, v = split(self.w_Q(x)), split(self.w_K(x)), split(self.w_V(x))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(D // HEADS) + mask, dim=-1)
        return self.layer_norm(x + self.fc((weights @ v).transpose(1, 2).reshape(n, length, D)))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.w_1 = nn.Linear(D, 4 * D)
        self.w_2 = nn.Linear(4 * D, D)
        self.layer_norm = nn.LayerNorm(D, eps=1e-6)

    def forward(self, x):
        return self.layer_norm(x + self.w_2(torch.relu(self.w_1(x))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.multi_head_attention = Attention()
        self.feed_forward = FeedForward()

    def forward(self, x, mask):
        return self.feed_forward(self.multi_head_attention(x, mask))


class Fusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer_blocks = nn.ModuleList([Block(), Block()])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.position_embedding = nn.Embedding(S, D)
        self.layer_norm = nn.LayerNorm(D, eps=1e-6)
        self.transformer_blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x, real):
        causal = torch.tril(torch.ones(S, S, dtype=torch.bool))
        mask = torch.where(causal & real[:, None, None, :].bool(), 0.0, -1e9)
        x = self.layer_norm(x + self.position_embedding.weight)
        for block in self.transformer_blocks:
            x = block(x, mask)
        return x


class User(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer_encoder = Encoder()


def mlp():
    return nn.Sequential(nn.Linear(D, D), nn.LeakyReLU(0.01), nn.Linear(D, D))


class Odmt(nn.Module):
    def __init__(self, items):
        super().__init__()
        self.id_encoder = nn.Embedding(items, F)
        self.id_proj, self.text_proj, self.image_proj = (nn.Linear(F, D) for _ in range(3))
        self.IMT = Fusion()
        self.id_dnns, self.t_dnns, self.v_dnns = mlp(), mlp(), mlp()
        self.id_user_encoder, self.t_user_encoder, self.v_user_encoder = User(), User(), User()

    def items(self, ids, text, image, text_mask):
        x = torch.cat([self.text_proj(text), self.image_proj(image), self.id_proj(self.id_encoder(ids))[:, None]], 1)
        n, length, _ = x.shape
        mask = torch.zeros(n, 1, length, length)
        mask[:, :, :, :TEXT] = torch.where(text_mask[:, None, None, :].bool(), 0.0, -10000.0)
        mask[:, :, :-1, -1] = -10000.0
        for block in self.IMT.transformer_blocks:
            x = block(x, mask)
        return {"id": self.id_dnns(x[:, -1]), "t": self.t_dnns(x[:, 0]), "v": self.v_dnns(x[:, TEXT])}


def main():
    weights, fixture = load_file(sys.argv[1]), load_file(sys.argv[2])
    model = Odmt(fixture["in.t_feat"].shape[0])
    result = model.load_state_dict({k: v for k, v in weights.items() if not k.startswith("codistill.")}, strict=True)
    print("state dict:", result)
    ids = fixture["in.item_ids"].reshape(-1)
    users = fixture["in.item_ids"].shape[0]
    with torch.no_grad():
        vectors = model.items(ids, fixture["in.t_feat"][ids], fixture["in.v_feat"][ids], fixture["in.text_mask"])
        worst = 0.0
        for name, h in vectors.items():
            encoder = getattr(model, f"{name}_user_encoder").transformer_encoder
            u = encoder(h.view(users, S + 1, D)[:, :S], fixture["in.log_mask"]).reshape(-1, D)
            logits = u @ h.T - torch.log(fixture["in.pop_prob"][ids])
            logits[fixture["mid.unused_item_mask"].bool()] = -10000.0
            gap = (logits[fixture["mid.valid_rows"]] - fixture[f"out.logits_{name}"]).abs().max().item()
            print(f"logits_{name}: largest difference {gap:.1e}")
            worst = max(worst, gap)
    if worst > 2e-5:
        sys.exit(f"the logits differ by {worst}")
    print("equal within 2e-5")


if __name__ == "__main__":
    main()
