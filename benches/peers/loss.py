"""Cross-entropy over the whole catalogue, and distillation of three branches, from given vectors: value and gradients.

    python loss.py WORKLOAD --method eager           # logits as one matrix a branch, gradients by autograd
    python loss.py WORKLOAD --method tiled [--tile 64]

`tiled` takes a tile of rows after another with gradients written by hand, so that no more than a tile's logits exist.
With s = z/tau, Q = softmax(s) and per row, for teacher P and student s: KD = logsumexp(s) - <P, s>, dKD/ds = Q - P,
dKD/dteacher = P * (<P, s> - s). The teacher is live (docs/odmt.md, section 3.3). Text and image learn from
id, id from the mean.

Shape suffixes: N branches (id, text, image), R rows, r rows of a tile, I items without padding, D width.
"""

import torch
import torch.nn.functional as F

import common

BRANCHES = ("id", "text", "image")
DISTILLED = ("text_from_id", "image_from_id", "id_from_ensemble")


def eager(users_NRD, items_NID, label_R, tau, weight):
    """Loss, its terms, and gradients by users and items."""
    leaves = [[x.detach().requires_grad_() for x in all_of.unbind()] for all_of in (users_NRD, items_NID)]
    logits = [u @ h.T for u, h in zip(*leaves)]
    terms = [F.cross_entropy(z, label_R) for z in logits]
    loss = sum(terms)
    if weight:
        def distil(student, teacher):
            return tau**2 * -((teacher / tau).softmax(-1) * (student / tau).log_softmax(-1)).sum(-1).mean()

        of_id, of_text, of_image = logits
        pairs = [distil(of_text, of_id), distil(of_image, of_id), distil(of_id, sum(logits) / len(logits))]
        loss, terms = loss + weight * sum(pairs), terms + pairs
    loss.backward()
    return loss.detach(), torch.stack(terms).detach(), *([x.grad for x in all_of] for all_of in leaves)


def tiled(users_NRD, items_NID, label_R, tau, weight, tile):
    branches, rows, _ = users_NRD.shape
    d_users, d_items = torch.empty_like(users_NRD), torch.zeros_like(items_NID)
    sums = torch.zeros(branches + (len(DISTILLED) if weight else 0), dtype=torch.float64)
    for start in range(0, rows, tile):
        part = slice(start, min(start + tile, rows))
        z_NrI = torch.bmm(users_NRD[:, part], items_NID.transpose(1, 2))
        label_Nr1 = label_R[None, part, None].expand(branches, -1, 1)
        # Scores that lie near 0 keep the digits that logsumexp - <P, s> would otherwise lose; no term sees the shift.
        z_NrI -= z_NrI.gather(2, label_Nr1)
        d_NrI = z_NrI.log_softmax(-1)
        sums[:branches] -= d_NrI.gather(2, label_Nr1).sum((1, 2)).double()
        d_NrI.exp_().scatter_add_(2, label_Nr1, torch.full((), -1.0).expand(label_Nr1.shape))
        if weight:
            sums[branches:] += distilled(z_NrI.mul_(1 / tau), label_Nr1, d_NrI, tau, weight * tau)
        d_NrI.mul_(1 / rows)
        d_users[:, part] = torch.bmm(d_NrI, items_NID)
        d_items.baddbmm_(d_NrI.transpose(1, 2), users_NRD[:, part])
    terms = sums / rows
    loss = terms[:branches].sum() + weight * terms[branches:].sum()
    return loss, terms, d_users.unbind(), d_items.unbind()


def distilled(s_NrI, label_Nr1, d_NrI, tau, scale):
    """Sums of the three terms over the tile's rows; adds their gradients times `scale` to `d_NrI`."""
    log_q = s_NrI.log_softmax(-1)
    log_sum_Nr = -log_q.gather(2, label_Nr1).squeeze(2)
    q_NrI = log_q.exp_()
    q_id, (s_id, s_text, s_image) = q_NrI[0], s_NrI
    p_ensemble = s_NrI.mean(0).softmax(-1)
    mean_text, mean_image = (q_id * s_text).sum(-1), (q_id * s_image).sum(-1)
    mean_id = (p_ensemble * s_id).sum(-1)
    terms = [log_sum_Nr[1] - mean_text, log_sum_Nr[2] - mean_image, log_sum_Nr[0] - mean_id]
    to_ensemble = p_ensemble * (mean_id[:, None] - s_id)
    to_id = (s_text + s_image).neg_().add_((mean_text + mean_image)[:, None]).mul_(q_id)
    d_NrI.add_(q_NrI, alpha=scale).add_(to_ensemble, alpha=scale / 3)
    d_NrI[0].add_(to_id, alpha=scale).sub_(p_ensemble, alpha=scale)
    d_NrI[1:].sub_(q_id, alpha=scale)
    return tau**2 * torch.stack([term.double().sum() for term in terms])


def line_of(result, _seconds):
    loss, terms, d_users, d_items = result
    metrics = {
        name: {"cross_entropy": float(term), "users_gradient": norm(users), "items_gradient": norm(items)}
        for name, term, users, items in zip(BRANCHES, terms, d_users, d_items)
    }
    metrics["total"] = float(loss)
    if len(terms) > len(d_users):
        metrics["distill"] = dict(zip(DISTILLED, terms[len(d_users):].tolist()))
    return {"loss": float(loss), "metrics": metrics}


def norm(gradient):
    return float(torch.linalg.vector_norm(gradient, dtype=torch.float64))


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--method", choices=["eager", "tiled"], required=True)
    parser.add_argument("--tile", type=int, default=64, help="rows whose logits exist at one time")
    args = parser.parse_args()
    common.prepare(args, "default" if args.method == "eager" else "keep")
    if not args.workload:
        common.fail("no workload", "give the directory of `codistill bench NAME --write DIR`")
    workload = common.Workload(args.workload, ["loss"])
    settings = workload.settings
    branches = range(len(BRANCHES) if settings.distill_weight else 1)
    users_NRD = torch.stack([workload.tensor(f"users.{b}") for b in branches])
    # Without the padding row a column is item - 1.
    items_NID = torch.stack([workload.tensor(f"items.{b}")[1:] for b in branches])
    given = (users_NRD, items_NID, workload.tensor("labels", torch.int64) - 1, settings.temperature,
             settings.distill_weight)
    loaded = common.peak_rss_bytes()

    def call():
        result = eager(*given) if args.method == "eager" else tiled(*given, args.tile)
        common.sync(args)
        return result

    common.time_calls(args, call, line_of)
    common.emit("done", contender=args.contender or f"torch-{args.method}", parameters=0,
                peak_rss_bytes=common.peak_rss_bytes(), loaded_rss_bytes=loaded, **common.about(args))


if __name__ == "__main__":
    main()
