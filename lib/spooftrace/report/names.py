"""Names of the metrics of each task on the page; the keys are those of ``conf/published.tsv``."""

from __future__ import annotations

DETECTION = {
    "eer": "EER %",
    "eer_ranking": "EER % without A14 and ACESinger",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr",
    "min_cllr": "minCllr",
    "min_tdcf": "min t-DCF",
}
DETECTION_QUOTED = DETECTION | {"eer_without_a14": "EER % without A14"}  # quoted only
F1S = {"macro_f1": "macro F1 %", "weighted_f1": "weighted F1 %", "accuracy": "accuracy %"}
LABELS = ("utt2label", "utt2vq", "utt2aux", "utt2dec", "utt2codec")
ATTRIBUTION = {
    f"{table}.{metric}": f"{table}: {name}"
    for table in LABELS
    for metric, name in {**F1S, "f1": "F1 % (averaging not stated)"}.items()
}
CODEC_SETS = {"closed_set": "closed set", "open_set": "open set"}
UNITS = {"khz": "kHz", "kbps": "kbit/s", "quantizers": "quantizers"}
MEASURES = {"rmse": "RMSE", "mae": "MAE"}
PARSING = {
    f"{part}{measure}_{unit}": f"{said}{MEASURES[measure]} {UNITS[unit]}"
    for part, said in {"": "", **{f"{key}.": f"{name}: " for key, name in CODEC_SETS.items()}}.items()
    for unit in UNITS
    for measure in MEASURES
}
