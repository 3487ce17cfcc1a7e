"""SASRec with full-catalogue cross-entropy, the usual way in PyTorch: padded users, and logits of every real position
against the whole catalogue in one matrix.

    python sasrec.py WORKLOAD [--compile]

One item table serves input and output. Input: item vector + learned position, LayerNorm, dropout, then the post-norm
blocks of docs/odmt.md, section 2.2, under the causal mask of 2.4. Position s predicts position s+1; item 0 is padding,
no candidate.

Shape suffixes: B users, S input positions, R = B*S, K real positions, D width, I items.
"""

import torch
import torch.nn.functional as F
from torch import nn

import common
from odmt_authors import UserEncoder


class SasRec(nn.Module):
    def __init__(self, settings, sdpa):
        super().__init__()
        self.table = nn.Embedding(settings.items + 1, settings.width, padding_idx=0)
        nn.init.xavier_normal_(self.table.weight)
        self.encoder = UserEncoder(settings, sdpa)

    def forward(self, input_BS, label_K, row_K):
        causal_SS = torch.ones(input_BS.shape[1], input_BS.shape[1], dtype=torch.bool).tril()
        allowed_B1SS = causal_SS & (input_BS != 0)[:, None, None, :]
        mask_B1SS = torch.zeros(allowed_B1SS.shape).masked_fill(~allowed_B1SS, -1e9)
        x_BSD = self.encoder(self.table(input_BS), mask_B1SS)
        u_KD = x_BSD.flatten(0, 1).index_select(0, row_K)
        logits_KI = u_KD @ self.table.weight[1:].T
        return F.cross_entropy(logits_KI, label_K - 1)


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    common.prepare(args, "keep" if args.compile else "default")
    if not args.workload:
        common.fail("no workload", "give the directory of `codistill bench NAME --write DIR`")
    workload = common.Workload(args.workload, ["sasrec"])
    settings = workload.settings
    sequences = workload.tensor("sequences", torch.int64)
    model = SasRec(settings, sdpa=args.compile).train()
    forward = model
    if args.compile:
        common.use_inductor()
        # Where the number of real positions differs from batch to batch, the second batch compiles a graph for any
        # number: two warm-up steps keep both compilations out of the timing.
        forward = torch.compile(model)

    def loss_of_batch(k):
        rows_BS1 = sequences[k * settings.users:(k + 1) * settings.users]
        row_K = (rows_BS1[:, :-1] != 0).flatten().nonzero().squeeze(1)
        label_K = rows_BS1[:, 1:].flatten()[row_K]
        return forward(rows_BS1[:, :-1], label_K, row_K)

    optimiser = common.Optimiser(model.parameters(), settings, fused=args.compile)
    count = sum(p.numel() for p in model.parameters())
    common.time_training(args, settings, "torch-compile" if args.compile else "torch-eager", count, optimiser,
                         loss_of_batch)


if __name__ == "__main__":
    main()
