"""ODMT with every exact saving of docs/odmt.md, section 7, that concerns a training step (nos 1-5 and 7), as fast as
eager PyTorch gets on CPU: the strong peer. Same losses and gradients as the authors' graph; with dropout, copies of an
item share a mask, as in ours.

How, and why this way rather than another (measured on a two-core CPU):

- Items are sorted by text length and tokens lie packed, item after item, so a linear layer or a norm is one call over
  real tokens (and few others). Items of one length, rounded up, are then a dense [n, L, D] view of consecutive rows:
  attention needs no gather, and a mask only where a group's lengths differ.
- Attention is written out: the CPU's fused attention has no dropout, so the library would fall back to the slow way.
- Dropout decides on 16 random bits a number, four numbers a draw, and its scale is folded into the next sum. The
  library's dropout draws once a number: 13 ms against 3 for two million.
- Compiling the packed blocks made steps 1 to 4 % longer, and writing out the feed-forward's gradient left them as they
  were: neither is here.
- The loss makes logits and their gradients in row tiles (odmt_loss.py), never a whole [K, U] matrix.

Shape suffixes: B users, S positions of the longest user in the batch, K real input positions, U distinct items, M
packed item tokens, n items of one group, L their tokens, T text and V image tokens, D model width, H heads, C = D/H.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from odmt_authors import BRANCHES, REMOVED, reference_name
from odmt_loss import TiledLoss

BITS = 16
# Text lengths are rounded up to a multiple: at 16 users the fewer calls make a step an eighth shorter, and at 48 users
# the padding and its mask cost nothing that could be measured. 8 and more lose there.
BUCKET = 4


def random_bits(shape):
    """16 fair bits a number: a 64-bit draw gives four."""
    count = math.prod(shape)
    draw = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return draw.view(torch.int16)[:count].view(shape)


def kept(bits, p):
    """0 where dropped, 1 elsewhere, unscaled. p is met to 2^-17."""
    threshold = round(p * 2**BITS) - 2 ** (BITS - 1)
    return torch.ge(bits, threshold, out=torch.empty(bits.shape))


class AddDropped(torch.autograd.Function):
    """residual + scale * dropout mask * x, keeping two bytes a number for the way back."""

    @staticmethod
    def forward(ctx, residual, x, p, scale):
        bits = random_bits(x.shape)
        ctx.save_for_backward(bits)
        ctx.p, ctx.scale = p, scale
        return torch.addcmul(residual, x, kept(bits, p), value=scale)

    @staticmethod
    def backward(ctx, grad):
        (bits,) = ctx.saved_tensors
        return grad, kept(bits, ctx.p).mul_(grad).mul_(ctx.scale), None, None


class Dropped(torch.autograd.Function):
    """Dropout of a tensor that has no residual partner; works in place on a tensor nobody else reads."""

    @staticmethod
    def forward(ctx, x, p):
        bits = random_bits(x.shape)
        ctx.save_for_backward(bits)
        ctx.p = p
        ctx.mark_dirty(x)
        return x.mul_(kept(bits, p).mul_(1 / (1 - p)))

    @staticmethod
    def backward(ctx, grad):
        (bits,) = ctx.saved_tensors
        return kept(bits, ctx.p).mul_(1 / (1 - ctx.p)).mul_(grad), None


class Attend(torch.autograd.Function):
    """dropout(softmax(scale * q kᵀ + bias)) v without the dropout's 1/(1-p), which the caller applies later."""

    @staticmethod
    def forward(ctx, q, k, v, bias, scale, p):
        a = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale).softmax(-1)
        bits = random_bits(a.shape) if p else None
        ctx.save_for_backward(q, k, v, a, bits)
        ctx.scale, ctx.p = scale, p
        return torch.bmm(kept(bits, p).mul_(a) if p else a, v)

    @staticmethod
    def backward(ctx, grad):
        q, k, v, a, bits = ctx.saved_tensors
        d_a = torch.bmm(grad, v.transpose(1, 2))
        dropped = a
        if ctx.p:
            keep = kept(bits, ctx.p)
            d_a.mul_(keep)
            dropped = keep.mul_(a)
        d_v = torch.bmm(dropped.transpose(1, 2), grad)
        d_score = torch._softmax_backward_data(d_a, a, -1, a.dtype)
        nothing = grad.new_zeros(())
        d_q = torch.baddbmm(nothing, d_score, k, beta=0, alpha=ctx.scale)
        d_k = torch.baddbmm(nothing, d_score.transpose(1, 2), q, beta=0, alpha=ctx.scale)
        return d_q, d_k, d_v, None, None, None


@dataclass
class Group:
    """Consecutive items with equally many text slots. `bias` is [L, L], or [n, L, L] where lengths differ."""

    items: int
    text: int
    tokens: int
    bias: torch.Tensor


class Block(nn.Module):
    """Post-norm block over packed rows; attention is the caller's."""

    def __init__(self, width, heads, dropout, eps):
        super().__init__()
        self.width, self.heads, self.p, self.eps = width, heads, dropout, eps
        self.scale = 1 / math.sqrt(width // heads)
        self.projections = nn.Parameter(torch.empty(3 * width, width))
        for part in self.projections.data.split(width):
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))
        self.join = nn.Linear(width, width, bias=False)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.feed_norm = nn.LayerNorm(width, eps=eps)

    def add(self, residual, x, power):
        if not self.p:
            return residual + x
        return AddDropped.apply(residual, x, self.p, (1 - self.p) ** -power)

    def rest(self, x, read):
        """Everything after attention, over any rows."""
        # Attend left out its dropout's scale; a matrix product commutes with it.
        y = self.attention_norm(self.add(x, self.join(read), 2))
        return self.feed_norm(self.add(y, self.down(F.relu_(self.up(y))), 1))

    def split(self, x, n):
        """[n*L, 3D] rows to three [n*H, L, C] tensors."""
        parts = x.view(n, -1, 3, self.heads, self.width // self.heads).permute(2, 0, 3, 1, 4)
        return parts.reshape(3, n * self.heads, -1, self.width // self.heads).unbind(0)

    def joined(self, read_nHLC, n):
        """[n*H, L, C] to [n*L, D]."""
        return read_nHLC.view(n, self.heads, -1, self.width // self.heads).transpose(1, 2).reshape(-1, self.width)

    def attend(self, rows, n, bias):
        q, k, v = self.split(rows, n)
        if bias.dim() == 3:
            bias = bias.repeat_interleave(self.heads, 0)
        return self.joined(Attend.apply(q, k, v, bias, self.scale, self.p), n)


class TowerBlock(Block):
    def forward(self, x_MD, groups):
        rows = F.linear(x_MD, self.projections).split([g.items * g.tokens for g in groups])
        read = [self.attend(r, g.items, g.bias) for r, g in zip(rows, groups)]
        return self.rest(x_MD, torch.cat(read) if len(read) > 1 else read[0])

    def readout(self, x_MD, groups, queries_3U):
        """The last block for the three tokens that are read. Keys and values move to the query side: a head's score is
        (W_Kᵀ q)·x and its value W_V (sum of a x), so no projection touches the other tokens."""
        h, d = self.heads, self.width
        w_q, w_k, w_v = self.projections.split(d)
        x_3UD = x_MD.index_select(0, queries_3U)
        q = F.linear(x_3UD, w_q).view(-1, h, d // h).transpose(0, 1)
        reach = torch.bmm(q, w_k.view(h, d // h, d)).transpose(0, 1).reshape(-1, 3 * h, d)
        out = []
        pieces = zip(groups, reach.split([g.items for g in groups]),
                     x_MD.split([g.items * g.tokens for g in groups]))
        for g, reach_n6D, x in pieces:
            x_nLD = x.view(g.items, g.tokens, d)
            # Query rows are (text, image, ID) x heads. Their bias rows are those of token 0, of any image token, of ID.
            rows = torch.tensor([0, g.text, g.tokens - 1]).repeat_interleave(h)
            out.append(Attend.apply(reach_n6D, x_nLD, x_nLD, g.bias[..., rows, :], self.scale, self.p))
        mixed = torch.cat(out).view(-1, h, d).transpose(0, 1)
        read = torch.bmm(mixed, w_v.view(h, d // h, d).transpose(1, 2)).transpose(0, 1).reshape(-1, d)
        return self.rest(x_3UD, read)


class UserEncoder(nn.Module):
    def __init__(self, settings):
        super().__init__()
        d = settings.width
        self.p = settings.dropout
        self.positions = nn.Parameter(torch.empty(settings.positions, d))
        self.norm = nn.LayerNorm(d, eps=settings.layer_norm_eps)
        self.blocks = nn.ModuleList(
            Block(d, settings.encoder_heads, settings.dropout, settings.layer_norm_eps)
            for _ in range(settings.encoder_blocks)
        )
        nn.init.xavier_normal_(self.positions)
        for block in self.blocks:
            for part in block.projections.data.split(d):
                nn.init.xavier_normal_(part)
            for linear in (block.join, block.up, block.down):
                nn.init.xavier_normal_(linear.weight)
            nn.init.zeros_(block.up.bias)
            nn.init.zeros_(block.down.bias)

    def forward(self, x_KD, users):
        x_KD = self.norm(x_KD + self.positions[users.slot_K])
        if self.p:
            x_KD = Dropped.apply(x_KD, self.p)
        for block in self.blocks:
            rows = F.linear(x_KD, block.projections)
            if users.full:
                read = block.attend(rows, users.count, users.bias_BSS)
            else:
                padded = rows.new_zeros(users.count * users.longest, rows.shape[1]).index_copy(0, users.place_K, rows)
                read = block.attend(padded, users.count, users.bias_BSS).index_select(0, users.place_K)
            x_KD = block.rest(x_KD, read)
        return x_KD


@dataclass
class Users:
    """Where the real input positions of a batch lie."""

    count: int
    longest: int
    full: bool
    slot_K: torch.Tensor
    place_K: torch.Tensor
    user_K: torch.Tensor
    bias_BSS: torch.Tensor


class Savings(nn.Module):
    def __init__(self, settings, tables, bucket=BUCKET):
        super().__init__()
        self.settings, self.tables, self.bucket = settings, tables, bucket
        d, f, eps = settings.width, settings.feature_width, settings.layer_norm_eps
        self.id_table = nn.Embedding(settings.items + 1, f, padding_idx=0)
        nn.init.xavier_normal_(self.id_table.weight)
        self.id_in, self.text_in, self.image_in = (nn.Linear(f, d) for _ in range(3))
        self.tower = nn.ModuleList(
            TowerBlock(d, settings.tower_heads, settings.dropout, eps) for _ in range(settings.tower_blocks)
        )
        self.heads = nn.ModuleDict({
            name: nn.Sequential(nn.Linear(d, d), nn.LeakyReLU(0.01, inplace=True), nn.Linear(d, d)) for name in BRANCHES
        })
        self.users = nn.ModuleDict({name: UserEncoder(settings) for name in BRANCHES})

    def loss(self, rows_BS1):
        ids_BS1 = rows_BS1.long()
        items_U, place_BS1, count_U = self.distinct(ids_BS1)
        users = self.user_rows(ids_BS1)
        item_K = place_BS1[:, :-1].flatten()[ids_BS1[:, :-1].flatten() != 0]
        label_K = place_BS1[:, 1:].flatten()[ids_BS1[:, :-1].flatten() != 0]
        # Log of how many columns an item fills, -inf where it is the user's own (docs/odmt.md, sections 3.2 and 7, no. 4).
        own = torch.zeros(len(ids_BS1), len(items_U) + 1, dtype=torch.bool)
        own.scatter_(1, torch.where(ids_BS1 == 0, len(items_U), place_BS1), True)
        log_weight_BU = count_U.log().expand(len(ids_BS1), -1).masked_fill(own[:, :-1], -math.inf)
        h = self.encode_items(items_U)
        u = [self.users[name](h_UD.index_select(0, item_K), users) for name, h_UD in zip(BRANCHES, h)]
        total, terms = TiledLoss.apply(
            torch.stack(u), torch.stack(h), self.tables.log_popularity_I[items_U], log_weight_BU, users.user_K, label_K,
            self.settings.temperature, self.settings.distill_weight,
        )
        return total, terms

    def distinct(self, ids_BS1):
        """Distinct items in order of text length, each position's place among them, and how many columns each fills."""
        unique, inverse, count = torch.unique(ids_BS1, return_inverse=True, return_counts=True)
        if unique[0] == 0:
            unique, inverse, count = unique[1:], inverse - 1, count[1:]
        order = self.tables.text_length_I[unique].argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        # Padding (-1) wraps around to some item; callers drop those positions.
        return unique[order], rank[inverse], count[order].float()

    def user_rows(self, ids_BS1):
        real_BS = ids_BS1[:, :-1] != 0
        longest = int(real_BS.sum(1).max())
        real_BS = real_BS[:, -longest:]
        user_K, slot_K = real_BS.nonzero(as_tuple=True)
        allowed_BSS = torch.ones(longest, longest, dtype=torch.bool).tril() & real_BS[:, None, :]
        bias_BSS = torch.zeros(allowed_BSS.shape).masked_fill_(~allowed_BSS, -1e9)
        return Users(len(ids_BS1), longest, len(user_K) == real_BS.numel(),
                     slot_K + self.settings.positions - longest, user_K * longest + slot_K, user_K, bias_BSS)

    def groups(self, items_U):
        """Text slots of every item, and the groups of items with equally many."""
        length_U = self.tables.text_length_I[items_U]
        bucket = self.bucket
        # An item without text still has a text CLS that asks, though nobody may read it.
        slots_U = ((length_U + bucket - 1) // bucket * bucket).clamp(1, self.settings.text_tokens)
        groups = []
        sizes, counts = slots_U.unique_consecutive(return_counts=True)
        for text, n, length_n in zip(sizes.tolist(), counts.tolist(), length_U.split(counts.tolist())):
            tokens = text + self.settings.image_tokens + 1
            bias_LL = torch.zeros(tokens, tokens)
            # Version v1: the ID token is seen by nobody but itself.
            bias_LL[:-1, -1] = REMOVED
            if int(length_n[0]) < text:
                padding_nT = torch.arange(text) >= length_n[:, None]
                bias_LL = bias_LL.repeat(n, 1, 1)
                bias_LL[:, :, :text].masked_fill_(padding_nT[:, None], REMOVED)
            groups.append(Group(n, text, tokens, bias_LL))
        return slots_U, groups

    def encode_items(self, items_U):
        text_U, groups = self.groups(items_U)
        text_slots, v = self.settings.text_tokens, self.settings.image_tokens
        # Rows of the flat text table: the first tokens of every item, as many as its group has.
        first_U = text_U.cumsum(0) - text_U
        total = int(text_U.sum())
        row = torch.arange(total) + (items_U * text_slots - first_U).repeat_interleave(text_U, output_size=total)
        text = self.text_in(self.tables.text_ITF.flatten(0, 1).index_select(0, row).float())
        image = self.image_in(self.tables.image_IVF.index_select(0, items_U).float())
        ident = self.id_in(self.id_table(items_U))
        n = [g.items for g in groups]
        pieces = zip(groups, text.split([g.items * g.text for g in groups]), image.split(n), ident.split(n))
        d = self.settings.width
        x_MD = torch.cat([
            torch.cat([t.view(g.items, g.text, d), i, e[:, None]], 1).flatten(0, 1) for g, t, i, e in pieces
        ])
        if self.settings.dropout:
            x_MD = Dropped.apply(x_MD, self.settings.dropout)
        tokens_U = text_U + v + 1
        end_U = tokens_U.cumsum(0)
        queries_3U = torch.stack([end_U - tokens_U, end_U - v - 1, end_U - 1], 1).flatten()
        for block in self.tower[:-1]:
            x_MD = block(x_MD, groups)
        text, image, ident = self.tower[-1].readout(x_MD, groups, queries_3U).view(-1, 3, d).unbind(1)
        return [self.heads[name](x) for name, x in zip(BRANCHES, (ident, text, image))]

    def named_pieces(self, value):
        """(fixture name, piece) of every parameter, or of its gradient: the fused projections are three there."""
        for name, parameter in self.named_parameters():
            tensor = value(parameter)
            if name.endswith(".projections"):
                parts = [None] * 3 if tensor is None else tensor.split(tensor.shape[1])
                for part, piece in zip(("query", "key", "value"), parts):
                    yield reference_name(name.replace("projections", f"{part}.weight")), piece
            else:
                yield reference_name(name), tensor

    def reference_parameters(self):
        return dict(self.named_pieces(lambda parameter: parameter.data))

    def load_reference(self, weights):
        for name, piece in self.reference_parameters().items():
            piece.copy_(weights[name])

    def reference_gradients(self):
        return dict(self.named_pieces(lambda parameter: parameter.grad))
