"""Group fairness with intervals: from rows, and from published counts."""

import numpy as np
import pandas as pd

import ml_governance as gov

generator = np.random.default_rng(1)
n = 5000
rows = pd.DataFrame(
    {"sex": generator.choice(["Female", "Male"], n), "race": generator.choice(["a", "b"], n, p=[0.8, 0.2])}
)
label = generator.integers(0, 2, n)
predicted = (generator.random(n) < np.where(rows.sex == "Male", 0.40, 0.36)).astype(int)

report = gov.assess_fairness(y_true=label, y_pred=predicted, sensitive_features=rows)
print(report.by_group[["selection_rate", "true_positive_rate"]].round(3))
ratio = report.ratio("selection_rate", by=["sex"])
print(f"selection rates by sex: smallest over largest {ratio.value:.3f}, {ratio.status}")
for interval in ratio.intervals:
    print(f"  {interval.sides} {interval.confidence:.0%}: {interval.lower:.3f} to {interval.upper:.3f}")

# Counts that somebody published: (true negatives, false positives, false negatives, true positives) of each group.
published = gov.FairnessReport.from_counts({"Female": (600, 200, 90, 110), "Male": (580, 240, 80, 100)}, by="sex")
print(f"published: {published.ratio('selection_rate').value:.3f}")
assert published.ratio("selection_rate").status == "ok"
