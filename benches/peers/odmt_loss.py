"""Cross-entropy and distillation of the three branches over distinct items, with gradients, in tiles of rows.

Columns are distinct items with weight w (how many columns of the batch the item fills; 0 for the user's own items, 1
for the label), so a softmax is exp(z + log w) over its sum. With s = z/tau, Q = softmax(s + log w) and per row, for
teacher P and student s: KD = logsumexp(s + log w) - <P, s>, dKD/ds = Q - P, dKD/dteacher = P * (<P, s> - s). The
teacher is live (docs/odmt.md, section 3.3), and no form needs the student's logarithms.

Shape suffixes: K rows, k rows of a tile, U distinct items, B users, D width; the leading 3 is (id, text, image).
"""


import torch

ROWS = 128


class TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u_3KD, h_3UD, log_popularity_U, log_weight_BU, user_K, label_K, tau, weight):
        d_u, d_h = torch.empty_like(u_3KD), torch.zeros_like(h_3UD)
        sums = torch.zeros(6, dtype=torch.float64)
        rows = u_3KD.shape[1]
        for start in range(0, rows, ROWS):
            tile = slice(start, min(start + ROWS, rows))
            d_z = tile_gradient(u_3KD[:, tile], h_3UD, log_popularity_U, log_weight_BU[user_K[tile]], label_K[tile],
                                tau, weight, rows, sums)
            d_u[:, tile] = torch.bmm(d_z, h_3UD)
            d_h.baddbmm_(d_z.transpose(1, 2), u_3KD[:, tile])
        ctx.save_for_backward(d_u, d_h)
        ce_id, ce_t, ce_v, kd_t, kd_v, kd_id = (sums / rows).unbind()
        ce, kl = ce_id + ce_t + ce_v, weight * (kd_t + kd_v + kd_id)
        terms = {"ce_id": ce_id, "ce_t": ce_t, "ce_v": ce_v, "ce": ce, "kd_t_from_id": kd_t, "kd_v_from_id": kd_v,
                 "kd_id_from_ens": kd_id, "kl": kl}
        return (ce + kl).float(), terms

    @staticmethod
    def backward(ctx, grad, _):
        d_u, d_h = ctx.saved_tensors
        return d_u.mul_(grad), d_h.mul_(grad), None, None, None, None, None, None


def tile_gradient(u_3kD, h_3UD, log_popularity_U, log_weight_kU, label_k, tau, weight, rows, sums):
    """Gradient of the mean loss by the tile's logits; adds the six loss terms to `sums`."""
    z_3kU = torch.baddbmm(-log_popularity_U, u_3kD, h_3UD.transpose(1, 2))
    # The label's column stays though the item is the user's own, and counts once.
    log_weight_kU.scatter_(1, label_k[:, None], 0.0)
    label_3k1 = label_k[None, :, None].expand(3, -1, 1)

    log_q = (z_3kU + log_weight_kU).log_softmax(-1)
    sums[:3] -= log_q.gather(2, label_3k1).sum((1, 2)).double()
    d_z = log_q.exp_()
    d_z.scatter_add_(2, label_3k1, torch.full((), -1.0).expand(label_3k1.shape))

    s_3kU = z_3kU.mul_(1 / tau)
    # Scores that lie near 0 keep the digits that logsumexp - <P, s> would otherwise lose; no term sees the shift.
    s_3kU -= s_3kU.gather(2, label_3k1)
    log_q = (s_3kU + log_weight_kU).log_softmax(-1)
    log_sum_3k = -log_q.gather(2, label_3k1).squeeze(2)
    q_3kU = log_q.exp_()
    q_id, q_text, q_image = q_3kU
    s_id, s_text, s_image = s_3kU
    p_ens = (s_3kU.mean(0) + log_weight_kU).softmax(-1)
    both = s_text + s_image
    mean_text, mean_image = (q_id * s_text).sum(-1), (q_id * s_image).sum(-1)
    mean_id = (p_ens * s_id).sum(-1)
    sums[3] += tau**2 * float((log_sum_3k[1] - mean_text).double().sum())
    sums[4] += tau**2 * float((log_sum_3k[2] - mean_image).double().sum())
    sums[5] += tau**2 * float((log_sum_3k[0] - mean_id).double().sum())

    c = weight * tau
    to_ensemble = p_ens * (mean_id[:, None] - s_id)
    live = both.neg_().add_((mean_text + mean_image)[:, None]).mul_(q_id)
    d_z.add_(q_3kU, alpha=c).add_(to_ensemble, alpha=c / 3)
    d_z[0].add_(live, alpha=c).sub_(p_ens, alpha=c)
    d_z[1:].sub_(q_id, alpha=c)
    return d_z.mul_(1 / rows)
