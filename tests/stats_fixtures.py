"""Writes tests/fixtures/stats.json: what SciPy and statsmodels say of small samples.

    pip install scipy statsmodels && python tests/stats_fixtures.py

The two-way interval has no function in either library: its mean squares come from statsmodels' analysis of
variance of a two-way layout.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import statsmodels
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

rng = np.random.default_rng(20240501)


def gains(n: int, shift: float) -> list[float]:
    """Differences of NDCG@10: mostly zero, many ties."""
    rank = rng.integers(1, 30, size=(2, n))
    ndcg = np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0)
    return (ndcg[1] - ndcg[0] + shift * (rng.random(n) < 0.2)).tolist()


samples = {
    "normal 8": rng.normal(0.3, 1.0, 8),
    "normal 50": rng.normal(0.1, 1.0, 50),
    "normal 51": rng.normal(0.1, 1.0, 51),
    "ties 12": [0.0, 1.0, 1.0, -1.0, 2.0, 0.0, -2.0, 3.0, 3.0, 1.0, 0.5, -0.5],
    "gains 200": gains(200, 0.0),
    "gains 1000": gains(1000, 0.1),
    "tiny 2": [0.5, -0.25],
}

paired = []
for name, values in samples.items():
    d = np.asarray(values, dtype=float)
    description = DescrStatsW(d)
    t = stats.ttest_1samp(d, 0.0)
    w = stats.wilcoxon(d)
    margin = 0.15
    paired.append(
        {
            "name": name,
            "differences": d.tolist(),
            "effect": d.mean(),
            "se": d.std(ddof=1) / np.sqrt(len(d)),
            "p": t.pvalue,
            "interval95": list(description.tconfint_mean(alpha=0.05)),
            "interval90": list(description.tconfint_mean(alpha=0.10)),
            "margin": margin,
            "equivalence_p": description.ttost_mean(-margin, margin)[0],
            "wilcoxon_statistic": w.statistic,
            "wilcoxon_p": w.pvalue,
        }
    )

quantiles = []
for df in [1.0, 2.0, 2.7, 4.0, 30.5, 400.0, 35_597.0]:
    for p in [0.001, 0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 0.9995]:
        quantiles.append({"df": df, "p": p, "t": stats.t.ppf(p, df)})

holm = []
for p in [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [0.0, 1.0, 0.02, 0.02, 0.6]]:
    holm.append({"p": p, "adjusted": multipletests(p, method="holm")[1].tolist()})

d = np.asarray(samples["gains 200"])
boot = stats.bootstrap(
    (d,), np.mean, n_resamples=200_000, method="percentile", confidence_level=0.95, rng=rng, batch=2000
)
permutation = stats.permutation_test(
    (np.asarray(samples["gains 1000"]),),
    np.mean,
    permutation_type="samples",
    n_resamples=200_000,
    rng=rng,
    batch=2000,
)

layouts = []
for users, seeds, user_sd, seed_sd in [(40, 3, 1.0, 0.0), (25, 5, 1.0, 0.5), (60, 3, 0.3, 0.0)]:
    table = (
        rng.normal(0, user_sd, users)[:, None]
        + rng.normal(0, seed_sd, seeds)[None, :]
        + rng.normal(0.1, 1.0, (users, seeds))
    )
    long = pd.DataFrame(
        {
            "d": table.ravel(),
            "user": np.repeat(np.arange(users), seeds),
            "seed": np.tile(np.arange(seeds), users),
        }
    )
    anova = anova_lm(ols("d ~ C(user) + C(seed)", data=long).fit())
    mean_square = anova["sum_sq"] / anova["df"]
    layouts.append(
        {
            "differences": table.T.tolist(),
            "effect": table.mean(),
            "ms_user": mean_square["C(user)"],
            "ms_seed": mean_square["C(seed)"],
            "ms_resid": mean_square["Residual"],
        }
    )

out = {
    "made_with": f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
    "paired": paired,
    "quantiles": quantiles,
    "holm": holm,
    "bootstrap": {"sample": "gains 200", "low": boot.confidence_interval.low, "high": boot.confidence_interval.high},
    "sign_flips": {"sample": "gains 1000", "p": permutation.pvalue},
    "layouts": layouts,
}
path = Path(__file__).parent / "fixtures" / "stats.json"
path.write_text(json.dumps(out, indent=1) + "\n")
