# Makes the models and scores of this folder with the real library: Debian's python3-xgboost (1.7.4).
# /usr/bin/python3 test/plugins/score/golden/make.py
import json, os, warnings
import numpy as np
import xgboost as xgb

warnings.filterwarnings("ignore")
here = os.path.dirname(os.path.abspath(__file__))
names = ["amount", "age", "country", "hour", "rate"]
random = np.random.default_rng(7)


def rows(count):
    x = random.normal(size=(count, len(names))).astype(np.float32) * [100, 10, 3, 6, 5]
    x[random.random(x.shape) < 0.15] = np.nan
    return x.astype(np.float32)


def save(name, parameters, label, rounds=20, **training):
    x = rows(2000)
    data = xgb.DMatrix(x, label=label(x), feature_names=names)
    if "early" in training:
        other = rows(500)
        held = xgb.DMatrix(other, label=label(other)[random.permutation(500)], feature_names=names)
        booster = xgb.train(parameters, data, rounds, evals=[(held, "held")], early_stopping_rounds=3, verbose_eval=False)
    else:
        booster = xgb.train(parameters, data, rounds)
    x = rows(30)
    # Values that stand in splits: less and not less are told apart there.
    path = os.path.join(here, name + ".model.json")
    booster.save_model(path)
    model = json.load(open(path))
    os.remove(path)
    booster_part = model["learner"]["gradient_booster"]
    first = booster_part.get("gbtree", booster_part)["model"]["trees"][0]
    inner = [n for n, left in enumerate(first["left_children"]) if left != -1]
    for i, node in enumerate(inner):
        x[i, first["split_indices"][node]] = np.float32(first["split_conditions"][node])
    scores = booster.predict(xgb.DMatrix(x, feature_names=names), iteration_range=(0, 0) if "early" not in training else (0, training["early"]))
    golden = [
        {"row": [None if np.isnan(v) else float(v) for v in row], "score": float(score)}
        for row, score in zip(x, scores)
    ]
    document = {"model": model, "golden": golden}
    if "early" in training:
        document["iterations"] = training["early"]
    json.dump(document, open(os.path.join(here, name + ".json"), "w"), separators=(",", ":"))


def fraud(x):
    return ((np.nan_to_num(x[:, 0]) > 50) ^ (np.nan_to_num(x[:, 3]) > 2)).astype(np.float32)


def count(x):
    return np.abs(np.round(np.nan_to_num(x[:, 4])))


small = {"max_depth": 3, "seed": 1}
save("logistic", {**small, "objective": "binary:logistic", "base_score": 0.3}, fraud, 12)
save("squared", {**small, "objective": "reg:squarederror"}, count, 8)
save("poisson", {**small, "objective": "count:poisson"}, count, 8)
save("dart", {**small, "objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3}, fraud, 8)
save("parallel", {**small, "objective": "binary:logitraw", "num_parallel_tree": 2, "subsample": 0.7}, fraud, 4)
save("early", {**small, "objective": "binary:logistic", "eval_metric": "logloss"}, fraud, 30, early=2)
