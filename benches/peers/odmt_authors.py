"""ODMT as its authors compute it (docs/odmt.md, sections 2 to 4): every position is encoded, padding and copies included.

`sdpa=True` is the same arithmetic written for `torch.compile`: fused attention calls, and padded rows weighted by zero
instead of dropped, so that every shape is fixed and the whole loss is one graph.

Shape suffixes: B users, S input positions, N = B(S+1) item positions, Q = B*S rows (K of them kept), T text tokens,
V image tokens, L = T+V+1 tokens of an item, D model width, F feature width, H heads, C = D/H, I items.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

BRANCHES = ("id", "text", "image")
REMOVED = -10000.0


class Block(nn.Module):
    """Post-norm transformer block (docs/odmt.md, section 2.2)."""

    def __init__(self, width, heads, dropout, eps, sdpa):
        super().__init__()
        self.heads, self.dropout, self.sdpa = heads, dropout, sdpa
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.join = nn.Linear(width, width, bias=False)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.feed_norm = nn.LayerNorm(width, eps=eps)

    def split(self, x_NLD):
        return x_NLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x_NLD, mask_N1LL):
        q_NHLC, k_NHLC, v_NHLC = (self.split(f(x_NLD)) for f in (self.query, self.key, self.value))
        p = self.dropout if self.training else 0.0
        if self.sdpa:
            read_NHLC = F.scaled_dot_product_attention(q_NHLC, k_NHLC, v_NHLC, attn_mask=mask_N1LL, dropout_p=p)
        else:
            score_NHLL = q_NHLC @ k_NHLC.transpose(-1, -2) / math.sqrt(q_NHLC.shape[-1]) + mask_N1LL
            read_NHLC = F.dropout(score_NHLL.softmax(-1), p) @ v_NHLC
        read_NLD = read_NHLC.transpose(1, 2).flatten(2)
        y_NLD = self.attention_norm(x_NLD + F.dropout(self.join(read_NLD), p))
        z_NLD = F.dropout(self.down(F.relu(self.up(y_NLD))), p)
        return self.feed_norm(y_NLD + z_NLD)


class UserEncoder(nn.Module):
    """SASRec-style causal transformer over a user's input items (docs/odmt.md, section 2.4)."""

    def __init__(self, settings, sdpa):
        super().__init__()
        self.dropout = settings.dropout
        self.positions = nn.Parameter(torch.empty(settings.positions, settings.width))
        self.norm = nn.LayerNorm(settings.width, eps=settings.layer_norm_eps)
        self.blocks = nn.ModuleList(
            Block(settings.width, settings.encoder_heads, settings.dropout, settings.layer_norm_eps, sdpa)
            for _ in range(settings.encoder_blocks)
        )
        nn.init.xavier_normal_(self.positions)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x_BSD, mask_B1SS):
        x_BSD = F.dropout(self.norm(x_BSD + self.positions), self.dropout if self.training else 0.0)
        for block in self.blocks:
            x_BSD = block(x_BSD, mask_B1SS)
        return x_BSD


@dataclass
class Batch:
    ids_BS1: torch.Tensor
    text_NTF: torch.Tensor
    image_NVF: torch.Tensor
    text_mask_NT: torch.Tensor


@dataclass
class Tables:
    """Everything a batch is gathered from, in memory. Row 0 of an item table is padding."""

    sequences: torch.Tensor
    text_ITF: torch.Tensor
    image_IVF: torch.Tensor
    text_length_I: torch.Tensor
    log_popularity_I: torch.Tensor

    def rows(self, k, users):
        return self.sequences[k * users:(k + 1) * users]


class Authors(nn.Module):
    def __init__(self, settings, tables, sdpa=False):
        super().__init__()
        self.settings, self.tables, self.sdpa = settings, tables, sdpa
        d, f = settings.width, settings.feature_width
        self.id_table = nn.Embedding(settings.items + 1, f, padding_idx=0)
        nn.init.xavier_normal_(self.id_table.weight)
        self.id_in, self.text_in, self.image_in = (nn.Linear(f, d) for _ in range(3))
        self.tower = nn.ModuleList(
            Block(d, settings.tower_heads, settings.dropout, settings.layer_norm_eps, sdpa)
            for _ in range(settings.tower_blocks)
        )
        self.heads = nn.ModuleDict({
            name: nn.Sequential(nn.Linear(d, d), nn.LeakyReLU(0.01), nn.Linear(d, d)) for name in BRANCHES
        })
        self.users = nn.ModuleDict({name: UserEncoder(settings, sdpa) for name in BRANCHES})
        self.loss_graph = self.graph

    def compile(self):
        self.loss_graph = torch.compile(self.graph, fullgraph=True, dynamic=False)

    def assemble(self, rows_BS1):
        ids_BS1 = rows_BS1.long()
        ids_N = ids_BS1.flatten()
        slots_T = torch.arange(self.settings.text_tokens)
        return Batch(
            ids_BS1,
            self.tables.text_ITF[ids_N].float(),
            self.tables.image_IVF[ids_N].float(),
            slots_T < self.tables.text_length_I[ids_N, None],
        )

    def loss(self, rows_BS1):
        """Loss of the users in `rows_BS1`, and its terms under the names of the parity fixtures."""
        batch = self.assemble(rows_BS1)
        ids_N = batch.ids_BS1.flatten()
        # Masks are made outside the graph: a compiler folds their index arithmetic into every pass over the logits.
        removed_QN, label_Q = self.columns(batch.ids_BS1[:, :-1] != 0, self.own_items(batch.ids_BS1, ids_N))
        return self.loss_graph(batch.ids_BS1, batch.text_NTF, batch.image_NVF, batch.text_mask_NT,
                               self.tables.log_popularity_I[ids_N], removed_QN, label_Q)

    def own_items(self, ids_BS1, ids_N):
        """Whether the item of a column is anywhere in a user's own sequence."""
        seen_BI = torch.zeros(len(ids_BS1), self.settings.items + 1, dtype=torch.bool)
        return seen_BI.scatter_(1, ids_BS1, True)[:, ids_N]

    def graph(self, ids_BS1, text_NTF, image_NVF, text_mask_NT, log_popularity_N, removed_QN, label_Q):
        items = self.encode_items(ids_BS1.flatten(), text_NTF, image_NVF, text_mask_NT)
        real_BS = ids_BS1[:, :-1] != 0
        users, positions = real_BS.shape
        causal_SS = torch.ones(positions, positions, dtype=torch.bool).tril()
        allowed_B1SS = causal_SS & real_BS[:, None, None, :]
        mask_B1SS = torch.zeros(allowed_B1SS.shape).masked_fill(~allowed_B1SS, -1e9)
        kept_Q = real_BS.flatten()
        z = {}
        for name in BRANCHES:
            h_ND = items[name]
            x_BSD = h_ND.unflatten(0, (users, positions + 1))[:, :-1]
            u_QD = self.users[name](x_BSD, mask_B1SS).flatten(0, 1)
            if not self.sdpa:
                u_QD = u_QD[kept_Q]
            z_QN = u_QD @ h_ND.T - log_popularity_N
            z[name] = z_QN.masked_fill(removed_QN if self.sdpa else removed_QN[kept_Q], REMOVED)
        if self.sdpa:
            return self.objective(z, label_Q, kept_Q.float() / kept_Q.sum())
        kept = int(kept_Q.sum())
        return self.objective(z, label_Q[kept_Q], torch.full((kept,), 1.0 / kept))

    def encode_items(self, ids_N, text_NTF, image_NVF, text_mask_NT):
        id_N1D = self.id_in(self.id_table(ids_N))[:, None]
        x_NLD = torch.cat([self.text_in(text_NTF), self.image_in(image_NVF), id_N1D], 1)
        x_NLD = F.dropout(x_NLD, self.settings.dropout if self.training else 0.0)
        n, length = x_NLD.shape[:2]
        text = text_mask_NT.shape[1]
        key_mask_NL = torch.zeros(n, length)
        key_mask_NL[:, :text].masked_fill_(~text_mask_NT, REMOVED)
        # Version v1: the ID token is seen by nobody but itself.
        id_mask_LL = torch.zeros(length, length)
        id_mask_LL[:-1, -1] = REMOVED
        mask_N1LL = (key_mask_NL[:, None, :] + id_mask_LL)[:, None]
        for block in self.tower:
            x_NLD = block(x_NLD, mask_N1LL)
        token = {"id": -1, "text": 0, "image": text}
        return {name: self.heads[name](x_NLD[:, token[name]]) for name in BRANCHES}

    def columns(self, real_BS, own_BN):
        """Columns a row may not score, and each row's label column (docs/odmt.md, section 3.2)."""
        users, positions = real_BS.shape
        column_real_N = F.pad(real_BS, (0, 1), value=True).flatten()
        removed_BN = own_BN | ~column_real_N
        label_BS = torch.arange(users)[:, None] * (positions + 1) + torch.arange(1, positions + 1)
        columns_N = torch.arange(users * (positions + 1))
        is_label_BSN = label_BS[:, :, None] == columns_N
        return (removed_BN[:, None] & ~is_label_BSN).flatten(0, 1), label_BS.flatten()

    def objective(self, z, label_Q, weight_Q):
        """Cross-entropies and live-teacher distillation (docs/odmt.md, section 3.3).

        `weight_Q` makes means over the kept rows.
        """
        tau = self.settings.temperature
        ce = {name: (F.cross_entropy(z[name], label_Q, reduction="none") * weight_Q).sum() for name in BRANCHES}
        ensemble_QN = (z["text"] + z["image"] + z["id"]) / 3

        def distill(student_QN, teacher_QN):
            p_QN = (teacher_QN / tau).softmax(-1)
            return -tau**2 * ((p_QN * (student_QN / tau).log_softmax(-1)).sum(-1) * weight_Q).sum()

        kd = {
            "kd_t_from_id": distill(z["text"], z["id"]),
            "kd_v_from_id": distill(z["image"], z["id"]),
            "kd_id_from_ens": distill(z["id"], ensemble_QN),
        }
        kl = self.settings.distill_weight * sum(kd.values())
        total = sum(ce.values()) + kl
        terms = {"ce_id": ce["id"], "ce_t": ce["text"], "ce_v": ce["image"], "ce": sum(ce.values())}
        return total, {**terms, **kd, "kl": kl}

    def reference_parameters(self):
        return {reference_name(name): parameter for name, parameter in self.named_parameters()}

    def load_reference(self, weights):
        with torch.no_grad():
            for name, parameter in self.reference_parameters().items():
                parameter.copy_(weights[name])

    def reference_gradients(self):
        return {name: parameter.grad for name, parameter in self.reference_parameters().items()}


def reference_name(name):
    """The fixtures' name of one of our parameters."""
    short = {"id": "id", "text": "t", "image": "v"}
    for branch in BRANCHES:
        name = name.replace(f"users.{branch}.positions", f"users.{branch}.position_embedding.weight")
        name = name.replace(f"users.{branch}.norm.", f"users.{branch}.layer_norm.")
        name = name.replace(f"users.{branch}.blocks.", f"users.{branch}.transformer_blocks.")
        name = name.replace(f"users.{branch}.", f"{short[branch]}_user_encoder.transformer_encoder.")
        name = name.replace(f"heads.{branch}.", f"{short[branch]}_dnns.")
        name = name.replace(f"{branch}_in.", f"{branch}_proj.")
    for ours, theirs in (
        ("id_table.", "id_encoder."), ("tower.", "IMT.transformer_blocks."),
        (".query.", ".multi_head_attention.w_Q."), (".key.", ".multi_head_attention.w_K."),
        (".value.", ".multi_head_attention.w_V."), (".join.", ".multi_head_attention.fc."),
        (".attention_norm.", ".multi_head_attention.layer_norm."), (".up.", ".feed_forward.w_1."),
        (".down.", ".feed_forward.w_2."), (".feed_norm.", ".feed_forward.layer_norm."),
    ):
        name = name.replace(ours, theirs)
    return name
