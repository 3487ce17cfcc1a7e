"""What `versus.py` makes of its measurements: summary, table.md and plot.svg."""

import statistics

MIB = 2**20
# How far the figures may lie apart that contenders of a kind must agree on: absolutely, and relative to the larger one.
ALLOWED = {
    "evaluate": {"absolute": 1e-3, "relative": 0.0},
    "loss": {"absolute": 0.0, "relative": 1e-4},
    "checkpoint": {"absolute": 0.0, "relative": 1e-9},
    "prepare": {"absolute": 0.0, "relative": 0.0},
}
BUSY_ALLOWED = 0.1


def percentile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def summarise(cell, base):
    """Adds a `summary` to every contender with a whole round, and what the cell says as a whole."""
    runs = cell["contenders"]
    for run in runs.values():
        if not run["rounds"]:
            continue
        seconds = [step["seconds"] for record in run["rounds"] for step in record["steps"]]
        losses = [step["loss"] for record in run["rounds"] for step in record["steps"] if step.get("loss") is not None]
        done = [record["done"] for record in run["rounds"]]
        peak = [d["peak_rss_bytes"] for d in done if d.get("peak_rss_bytes") is not None]
        runtime = [d["runtime_rss_bytes"] for d in done if "runtime_rss_bytes" in d]
        run["summary"] = {
            "median_seconds": statistics.median(seconds), "p10_seconds": percentile(seconds, 0.1),
            "p90_seconds": percentile(seconds, 0.9), "steps": len(seconds),
            "peak_rss_bytes": max(peak) if peak else None, "runtime_rss_bytes": max(runtime) if runtime else None,
            "parameters": done[-1].get("parameters"), "mean_loss": statistics.fmean(losses) if losses else None,
            "figures": middle_figures(run),
            "extrapolated": any(step.get("extrapolated") for record in run["rounds"] for step in record["steps"]),
        }
    ours = runs.get(base, {})
    for run in runs.values():
        if "summary" not in run or "summary" not in ours:
            continue
        # The same round of both: what else the machine did then, it did to both.
        pairs = list(zip(run["rounds"], ours["rounds"]))
        ratios = [middle(theirs) / middle(mine) for theirs, mine in pairs]
        run["summary"]["ratio"] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        if run["summary"]["peak_rss_bytes"] and ours["summary"]["peak_rss_bytes"]:
            run["summary"]["memory_ratio"] = run["summary"]["peak_rss_bytes"] / ours["summary"]["peak_rss_bytes"]
    flops(cell, ours)
    allowed = ALLOWED.get(cell["workload"].get("kind"))
    if allowed:
        cell["metrics"] = compare_metrics(runs, **allowed)


def middle_figures(run):
    """Medians of what else a contender says of each step, by name and unit."""
    found = {}
    for record in run["rounds"]:
        for step in record["steps"]:
            for name, value in step.get("figures", {}).items():
                found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def middle(record):
    return statistics.median(step["seconds"] for step in record["steps"])


def flops(cell, ours):
    counted = dict(cell["workload"])
    for record in ours.get("rounds", []):
        counted |= {key: record["done"][key] for key in ("flops_reference", "flops_ours") if key in record["done"]}
    cell["flops_reference"], cell["flops_ours"] = counted.get("flops_reference"), counted.get("flops_ours")
    for run in cell["contenders"].values():
        if "summary" not in run:
            continue
        seconds = run["summary"]["median_seconds"]
        if cell["flops_reference"]:
            run["summary"]["reference_gflops"] = cell["flops_reference"] / seconds / 1e9
        if cell["flops_ours"] and run is ours:
            run["summary"]["own_gflops"] = cell["flops_ours"] / seconds / 1e9


def compare_metrics(runs, absolute, relative):
    """Whether all contenders computed the same metrics. One that saw only the first users is compared with whoever
    also reports those users."""
    seen = []
    for who, run in runs.items():
        for record in run["rounds"][:1]:
            step = record["steps"][-1]
            if "metrics" in step:
                seen.append((who, step.get("users_timed", "all"), flat(step["metrics"])))
            if "metrics_sample" in step:
                seen.append((who, step["sample_users"], flat(step["metrics_sample"])))
    worst, compared, apart = 0.0, 0, []
    met = set()
    for at, (first, users, mine) in enumerate(seen):
        for second, others, theirs in seen[at + 1:]:
            if users != others or first == second:
                continue
            shared = mine.keys() & theirs.keys()
            if shared != mine.keys() | theirs.keys():
                apart.append(f"{first} and {second} name different metrics: {sorted(mine.keys() ^ theirs.keys())}")
            if shared:
                met |= {first, second}
            for key in sorted(shared):
                compared += 1
                difference = abs(mine[key] - theirs[key])
                size = max(abs(mine[key]), abs(theirs[key]))
                worst = max(worst, difference / size if relative and size else difference)
                if not difference <= absolute + relative * size:
                    apart.append(f"{key}: {first} {mine[key]:.6g}, {second} {theirs[key]:.6g} (users: {users})")
    alone = [who for who, run in runs.items() if run["rounds"] and who not in met]
    agree = bool(compared) and not apart and not alone
    return {"agree": agree, "compared": compared, "largest_difference": worst, "relative": bool(relative),
            "allowed": absolute + relative, "apart": apart, "not_compared": alone}


def flat(metrics, prefix=""):
    """{"id": {"recall@10": x}} as {"id/recall@10": x}."""
    out = {}
    for key, value in metrics.items():
        out |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {prefix + key: value}
    return out


def number(value, unit=1.0, digits=3):
    """Three significant digits without an exponent."""
    if value is None:
        return "-"
    value /= unit
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}"
    return text if "e" not in text else f"{value:.6f}"


def title(cell):
    return ", ".join([cell["name"], cell["profile"], *cell["set"]])


def tables(result):
    at = result["conditions"]
    memory = at["memory_bytes"] and f"{at['memory_bytes'] / 2**30:.0f} GiB"
    lines = [
        f"{at['cpu'] or 'processor unknown'} (family/model {at['cpu_family_model']}), {at['cores']} cores, "
        f"{memory or 'memory unknown'}, {' '.join(at['simd'])}; {at['threads']} threads; {at['rounds']} rounds of "
        f"{at['steps']} steps after {at['warmup']} of warm-up; commit {(at['commit'] or 'unknown')[:12]}"
        f"{' with uncommitted changes' if at['uncommitted_changes'] else ''}; {at['date']}.",
        "",
    ]
    for cell in result["cells"]:
        lines += [f"### {title(cell)}", "", *table(cell, result["base"]), ""]
    return "\n".join(lines)


def table(cell, base):
    columns = ["contender", "step median s", "p10", "p90", f"time / {base}", "min..max", "peak RSS MiB",
               "without runtime", f"RSS / {base}", "parameters"]
    reference, own = cell["flops_reference"], cell["flops_ours"]
    losses = any(run.get("summary", {}).get("mean_loss") is not None for run in cell["contenders"].values())
    figures = list(dict.fromkeys(name for run in cell["contenders"].values()
                                 for name in run.get("summary", {}).get("figures", {})))
    columns += figures
    columns += ["mean loss"] * losses + ["reference GFLOP/s"] * bool(reference) + ["own GFLOP/s"] * bool(own)
    rows, notes = [], []
    for who, run in cell["contenders"].items():
        broken = run.get("failed")
        if broken:
            notes += [f"**{who} failed** in round {broken['round']}: {broken['reason']}", "",
                      *(f"    {text}" for text in broken["said"]), ""]
        if "summary" not in run:
            rows.append([who, "failed"] + ["-"] * (len(columns) - 2))
            continue
        s = run["summary"]
        ratio = s.get("ratio")
        net = s["peak_rss_bytes"] - s["runtime_rss_bytes"] if s["peak_rss_bytes"] and s["runtime_rss_bytes"] else None
        row = [who + " (extrapolated)" * s["extrapolated"] + " (later failed)" * bool(broken),
               *(number(s[key]) for key in ("median_seconds", "p10_seconds", "p90_seconds")),
               number(ratio and ratio["median"]),
               f"{number(ratio['min'])}..{number(ratio['max'])}" if ratio else "-",
               number(s["peak_rss_bytes"], MIB), number(net, MIB), number(s.get("memory_ratio")),
               f"{s['parameters']:,}" if s["parameters"] else "-"]
        row += [number(s["figures"].get(name)) for name in figures]
        row += [number(s["mean_loss"], digits=5)] * losses
        row += [number(s.get("reference_gflops"))] * bool(reference) + [number(s.get("own_gflops"))] * bool(own)
        rows.append(row)
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", *remarks(cell), *notes]
    return lines


def remarks(cell):
    lines = []
    checks = {who: record["check"] for who, run in cell["contenders"].items()
              for record in run["rounds"][:1] if "check" in record}
    if checks:
        said = "; ".join(f"{who} passed, worst gradient {c['worst']['gradient, relative']:.1e} relative"
                         for who, c in checks.items())
        lines += [f"Parity fixtures: {said}.", ""]
    if "metrics" in cell:
        m = cell["metrics"]
        if m["agree"]:
            allowed = f"agree to {m['allowed']:g}{' relative' * m['relative']}" if m["allowed"] else "are equal"
            lines += [f"Metrics {allowed}: {m['compared']} comparisons, "
                      f"largest difference {m['largest_difference']:.1e}.", ""]
        else:
            lines += ["**Metrics are not shown to agree.** " + "; ".join(
                m["apart"] + [f"{who} shares no users or metrics with another" for who in m["not_compared"]]), ""]
    before = [r["busy_before"] for run in cell["contenders"].values() for r in run["rounds"]
              if r["busy_before"] is not None]
    busy = [share for share in before if share > BUSY_ALLOWED]
    if busy:
        lines += [f"**The machine was not quiet**: {len(busy)} of {len(before)} runs began while others used more than "
                  f"{BUSY_ALLOWED:.0%} of it (at most {max(busy):.0%}).", ""]
    return lines


def drawing(columns, rows):
    """A figure on opaque white: it must read on a dark page too. Text stays text, and equal data give equal files."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "codistill", "figure.facecolor": "white", "axes.facecolor": "white",
        "savefig.facecolor": "white", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
        "font.family": "sans-serif",
    })
    import matplotlib.pyplot as plt

    return plt.subplots(1, columns, figsize=(5.2 * columns, rows), layout="constrained", squeeze=False)


def save(figure, path):
    figure.savefig(path, metadata={"Date": None}, transparent=False)


OURS, OTHERS, RUNTIME = "#0b6e4f", "#7a869a", "#c9d0da"
LINES = [OURS, "#b3541e", "#3b5ba5", "#7a3e9d", "#8a6d00", "#444444"]


def plot_cell(cell, path):
    runs = cell["contenders"]
    figure, axes = drawing(2, 1.3 + 0.5 * len(runs))
    time, memory = axes[0]
    place = range(len(runs))
    for y, (who, run) in zip(place, runs.items()):
        s = run.get("summary")
        if not s:
            for axis in (time, memory):
                axis.text(0.01, y, " failed", va="center", color="#b00020", transform=axis.get_yaxis_transform())
            continue
        colour = OURS if who == "codistill" else OTHERS
        middle_s = s["median_seconds"]
        spread = [[middle_s - s["p10_seconds"]], [s["p90_seconds"] - middle_s]]
        time.barh(y, middle_s, color=colour, xerr=spread, error_kw={"ecolor": "black", "capsize": 3})
        times = f" {number(s['ratio']['median'])}x" if who != "codistill" and "ratio" in s else ""
        time.annotate(f"{number(middle_s)} s{times}", (s["p90_seconds"], y), xytext=(6, 0), textcoords="offset points",
                      va="center")
        if s["peak_rss_bytes"]:
            base = min((s["runtime_rss_bytes"] or 0), s["peak_rss_bytes"]) / MIB
            peak = s["peak_rss_bytes"] / MIB
            memory.barh(y, base, color=RUNTIME)
            memory.barh(y, peak - base, left=base, color=colour)
            memory.annotate(f"{number(peak)} MiB", (peak, y), xytext=(4, 0), textcoords="offset points", va="center")
    labels = ("seconds a step: median, p10 to p90", "peak RSS, MiB (pale: the runtime alone)")
    for axis, label in zip((time, memory), labels):
        axis.set_yticks(place, runs.keys())
        axis.set_ylim(len(runs) - 0.5, -0.5)
        axis.set_xlabel(label)
        axis.margins(x=0.35)
        axis.set_xlim(left=0)
    figure.suptitle(title(cell))
    save(figure, path)


def plot_growth(result, path):
    """Step time over the varied key, and over the reference's FLOPs where they are known."""
    cells, key = result["cells"], result["key"]
    names = list(dict.fromkeys(who for cell in cells for who in cell["contenders"]))
    counted = any(cell["flops_reference"] for cell in cells)
    figure, axes = drawing(2 if counted else 1, 4.2)
    panels = [(axes[0][0], key, lambda cell: cell["workload"].get(key))]
    if counted:
        panels.append((axes[0][1], "reference FLOP a step",
                       lambda cell: cell["flops_reference"]))
    for axis, label, at in panels:
        for who, colour in zip(names, LINES * len(names)):
            points = sorted(
                (at(cell), s["median_seconds"], s["p10_seconds"], s["p90_seconds"])
                for cell in cells if at(cell) and (s := cell["contenders"].get(who, {}).get("summary"))
            )
            if points:
                x, y, low, high = zip(*points)
                spread = [[m - a for m, a in zip(y, low)], [b - m for m, b in zip(y, high)]]
                axis.errorbar(x, y, yerr=spread, marker="o", capsize=3, color=colour, label=who)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(label)
        axis.set_ylabel("seconds a step: median, p10 to p90")
    ticks = sorted({cell["workload"].get(key) for cell in cells if cell["workload"].get(key)})
    axes[0][0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0][0].minorticks_off()
    if counted:
        rates(axes[0][1])
    axes[0][0].legend(frameon=False)
    failed = sorted({who for cell in cells for who, run in cell["contenders"].items() if "failed" in run})
    figure.suptitle(f"{', '.join(dict.fromkeys(c['name'] for c in cells))}, {cells[0]['profile']}: growth with {key}"
                    + (f" (failed somewhere: {', '.join(failed)})" if failed else ""))
    save(figure, path)


def rates(axis):
    """Lines of equal GFLOP/s behind the points."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    for rate in (1, 10, 100, 1000, 10000):
        ends = [left / rate / 1e9, right / rate / 1e9]
        axis.plot([left, right], ends, linestyle=":", color="#b8bfc9", zorder=0)
        if low < ends[1] < high:
            axis.annotate(f"{rate:,} GFLOP/s", (right, ends[1]), ha="right", va="top", fontsize=8, color="#5a6270")
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
